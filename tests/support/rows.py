"""Tests that run as an ordinary user while the others run as root: here each stands for one in a second pytest.

    pytest, root: RowAsUser ──its id──► pytest, an ordinary user with a cgroup (`ordinary_user`): the test itself
                            ◄──how it ended, and what there is to say about that──

That process is there from the first such test of a module to the module's end.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_PATIENCE_S = 120.0
_AS_USER = (sys.executable, "-m", "support.ordinary_user")
_ANSWERING = (sys.executable, "-m", "support.rows")


class RowAsUser(pytest.Item):
    """A test that is run as an ordinary user."""

    def runtest(self) -> None:
        module = self.getparent(pytest.Module)
        assert module is not None
        if (user := module.stash.get(_user, None)) is None:
            user = module.stash[_user] = OrdinaryUser(self.nodeid.partition("::")[0])
            module.addfinalizer(lambda: _end(module))
        ended = user.run(self.nodeid)
        if ended["outcome"] == "skipped":
            pytest.skip(ended["text"])
        if ended["outcome"] == "failed":
            raise FailedAsUserError(ended["text"])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """As the other side told it."""
        return str(excinfo.value) if excinfo.errisinstance(FailedAsUserError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class FailedAsUserError(Exception):
    """It failed, or could not be run."""


class OrdinaryUser:
    """Runs tests of one file, each when it is asked for."""

    def __init__(self, file: str) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until `close`
        near, far = socket.socketpair()
        with far:
            self._process = subprocess.Popen(
                [*_AS_USER, *_ANSWERING, str(far.fileno()), file],
                cwd=Path(__file__).parents[1],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
            )
        near.settimeout(_PATIENCE_S)
        self._stream = near.makefile("rw")
        near.close()  # the stream keeps it open

    def run(self, nodeid: str) -> dict[str, str]:
        """How that test ended ("outcome") and what there is to say about it ("text")."""
        try:
            print(nodeid, file=self._stream, flush=True)
            answer = self._stream.readline()
        except OSError as error:
            answer = ""
            print(error, file=self._said)
        if not answer:
            raise FailedAsUserError(f"the tests of the ordinary user ended, or hang:\n{self._what_it_said()}")
        return dict(json.loads(answer))

    def close(self) -> None:
        """Have it end, and leave nothing."""
        self._stream.close()
        code = self._process.wait(_PATIENCE_S)
        said = self._what_it_said()
        self._said.close()
        assert code == 0, said

    def _what_it_said(self) -> str:
        self._said.seek(0)
        return self._said.read()


_user = pytest.StashKey[OrdinaryUser]()


def _end(module: pytest.Module) -> None:
    user = module.stash[_user]
    del module.stash[_user]
    user.close()


class Answers:
    """The plugin of the other pytest: runs the tests that are asked for instead of all."""

    def __init__(self, asker: socket.socket) -> None:
        self._stream = asker.makefile("rw")
        self._reports: list[pytest.TestReport] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for line in self._stream:
            item = items[line.rstrip("\n")]
            other = next((other for other in session.items if other is not item), None)  # the module goes on
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=other)
            print(json.dumps(_summary(self._reports)), file=self._stream, flush=True)
            self._reports.clear()
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        session.exitstatus = pytest.ExitCode.OK  # how each ended was told


def _summary(reports: Sequence[pytest.TestReport]) -> dict[str, str]:
    failed = [report for report in reports if report.failed]
    if failed:
        sections = [f"--- {title} ---\n{text}" for title, text in failed[-1].sections]
        return {"outcome": "failed", "text": "\n".join([*(each.longreprtext for each in failed), *sections])}
    for report in reports:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            return {"outcome": "skipped", "text": reason.removeprefix("Skipped: ")}
    return {"outcome": "passed", "text": ""}


if __name__ == "__main__":
    asker = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(asker.fileno(), False)
    sys.exit(pytest.main(["-p", "no:cacheprovider", *sys.argv[2:]], plugins=[Answers(asker)]))
