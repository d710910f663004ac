"""A guest in a real process at the end of a real channel, entered the way the sandbox enters it."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.protocol.channel import Channel

_ENTER = """
import os, socket, sys
sys.path.insert(0, sys.argv[2])
from sandbox.protocol import channel
from sandbox.kernel import descriptors
from sandbox.inner import task
descriptors.open_streams()
os._exit(task.run("runner.guest.main:main", channel.Channel(socket.socket(fileno=int(sys.argv[1])))))
"""
_CONTEXT = {
    "run": "019a0000-0000-7000-8000-000000000000",
    "attempt": 2,
    "fence": 17,
    "root": "run-0",
    "task": "job",
    "queue": "lane",
    "app": "main",
    "deadline": None,
    "tags": ["a"],
    "started_at": 0.0,
}
_LIMITS = {"parameters_bytes": 100_000, "result_bytes": 10_000}

Frame = dict[str, Any]


@dataclass
class Ended:
    """What a guest sent, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str
    frames: list[Frame] = field(default_factory=list)

    @property
    def answer(self) -> Frame:
        """The last frame; all others are none."""
        assert [frame["type"] for frame in self.frames].count("response") <= 1
        return self.frames[-1]

    @property
    def result(self) -> Any:
        assert "error" not in self.answer, self.answer["error"]
        return self.answer["result"]

    @property
    def error(self) -> dict[str, str]:
        return self.answer["error"]

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["type"] == kind]


class Guest:
    """Runs task files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tasks").mkdir()

    def write(self, source: str, name: str = "job.py") -> None:
        path = self.folder / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))

    def run(self, source: str, parameters: Any = None, *, function: str = "run", **rest: Any) -> Ended:
        self.write(source)
        frame = {
            "type": "start",
            "module": "job",
            "function": function,
            "parameters": {} if parameters is None else parameters,
            "context": _CONTEXT | rest.pop("context", {}),
            "network": False,
            "limits": _LIMITS,
        }
        return self.converse(frame, **rest)

    def discover(self, source: str | None = None, module: str = "job") -> Ended:
        if source is not None:
            self.write(source)
        return self.converse({"type": "discover", "module": module})

    #: `reply` answers each call; where it gives `None`, the runner says no more.
    def converse(self, first: Frame, reply: Callable[[Frame], Frame | None] | None = None) -> Ended:
        ours, theirs = socket.socketpair()
        ours.settimeout(30)
        with ours, theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _ENTER, str(theirs.fileno()), str(self.folder)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.folder,
                env={"PYTHONPATH": str(Path(__file__).parents[2])},
            )
            theirs.close()
            channel, frames, ours_ended = Channel(ours), [], False
            channel.send(first)
            try:
                while (frame := channel.receive()) is not None:
                    frames.append(frame)
                    if frame["type"] == "call" and reply is not None and not ours_ended:
                        if (answer := reply(frame)) is None:
                            ours.shutdown(socket.SHUT_WR)
                            ours_ended = True
                        else:
                            channel.send({"type": "reply", "id": frame["id"], **answer})
            except ConnectionError:
                pass  # it ended with frames of ours unread
            finally:
                stdout, stderr = process.communicate(timeout=30)
        return Ended(process.returncode, stdout.decode(), stderr.decode(), frames)


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)
