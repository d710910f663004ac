"""Every test leaves the machine as it found it: no process and no descriptor of ours remains."""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.processes import adopt_orphans, kept_descriptors, living_children
from support.waiting import eventually


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--none-skipped", action="store_true", help="a test that is skipped fails, for a host that has all"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("none_skipped"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and none may be here: {report.longrepr}"
    return report


def pytest_collection_finish() -> None:
    """What was loaded to collect the tests stays: no search for garbage goes through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """By what the tests start, too: a shell that starts them in the background has all of them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def orphans_are_seen() -> None:
    adopt_orphans()


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    children = living_children()
    yield
    eventually(lambda: living_children() <= children, within_s=5)


@pytest.fixture(scope="module", autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """By module: a node that serves a whole module opens some of its files late."""
    descriptors = _descriptors()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    known = descriptors.keys() | kept_descriptors
    left = {number: target for number, target in _descriptors().items() if number not in known}
    assert not left, f"descriptors were left open: {left}"


def _descriptors() -> dict[int, str]:
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        try:
            found[int(path.name)] = str(path.readlink())
        except FileNotFoundError:  # the one that lists
            continue
    return found
