"""Whatever befalls a node in the middle of a minute-long attempt: it is dead before another node starts its run again.

The attempts tell all the while that they live, by a clock that all of the machine's processes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.sdk.client import Client
from sandbox.protocol.lease import boot_clock_ns
from support.minutes import MINUTE, Trace
from support.nodes import running_node
from support.pairs import Pair, two_nodes
from support.postgres import shared_server
from support.waiting import eventually, eventually_async

LEASE_S = 2.0


@pytest.fixture(scope="module", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture
def pair(tmp_path: Path, postgres: str) -> Iterator[Pair]:
    with two_nodes(tmp_path, postgres, {"minute.py": MINUTE}, LEASE_S) as pair:
        yield pair


@contextlib.contextmanager
def cut_off(pair: Pair) -> Iterator[None]:
    pair.relay.cut()
    yield
    pair.relay.heal()


@contextlib.contextmanager
def stopped(pair: Pair) -> Iterator[None]:
    assert pair.first.process is not None
    pair.first.process.send_signal(signal.SIGSTOP)
    yield
    pair.first.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def starved(pair: Pair) -> Iterator[None]:
    """A thousandth of a cpu for the runner, in portions too small to renew a lease in time."""
    assert pair.first.process is not None
    fed = threading.Event()
    thread = threading.Thread(target=_starve, args=(pair.first.process.pid, fed))
    thread.start()
    yield
    fed.set()
    thread.join()


def _starve(pid: int, fed: threading.Event) -> None:
    while not fed.is_set():
        os.kill(pid, signal.SIGSTOP)
        fed.wait(LEASE_S / 2)
        os.kill(pid, signal.SIGCONT)
        fed.wait(0.001)


@pytest.mark.parametrize("befallen", [cut_off, stopped, starved])
def test_a_minute_long_attempt_is_dead_before_another_node_starts_its_run_again(
    pair: Pair, befallen: Callable[[Pair], contextlib.AbstractContextManager[None]]
) -> None:
    trace = Trace(pair.shared)
    client = pair.first.start()
    run = client.scheduleTask("minute", queue="q").id
    client.close()
    eventually(lambda: trace.begun() == [1])
    client = pair.second.start()

    with befallen(pair):
        shown = client.wait(run, "30s")
    eventually(lambda: _states(client) == ["first dead", "first up", "second up"], within_s=30)

    assert client.show(run) == shown
    assert (shown["status"], shown["result"]) == ("succeeded", 2)
    assert [attempt["reason"] for attempt in shown["attempts"]] == ["lost", "success"]
    trace.check_second_followed_first()
    client.close()
    assert [node.stop() for node in (pair.first, pair.second)] == [0, 0]


async def test_while_only_its_loop_is_blocked_no_other_node_takes_its_attempt(pair: Pair) -> None:
    trace = Trace(pair.shared)
    async with running_node(pair.first.project) as node:
        run = await node.schedule("minute")
        await eventually_async(lambda: trace.begun() == [1])
        client = await asyncio.to_thread(pair.second.start)

        time.sleep(3 * LEASE_S)  # on purpose: nothing else of this loop goes on
        freed_ns = boot_clock_ns()
        (pair.shared / "go").touch()

        ended = await node.ended(run["id"])
        assert (ended["result"], ended["attempt_count"]) == (1, 1)
        assert trace.begun() == [1]
        assert trace.ticks_between(freed_ns - round(LEASE_S * 1e9), freed_ns) > 0, "it did not run on"
        assert _states(client) == ["first up", "second up"]
        client.close()
        assert pair.second.stop() == 0


def _states(client: Client) -> list[str]:
    return sorted(f"{node['name']} {node['state']}" for node in client.nodes()["items"])
