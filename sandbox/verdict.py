"""What the end of a process comes to: an exception as it was told, and what is said of it in one sentence.

A sentence here lacks its subject, so that each caller puts its own: "it", "the task", "its process".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sandbox.errors import printable

_TYPE_CHARS = 200
_MESSAGE_CHARS = 8 << 10
_TRACEBACK_CHARS = 16 << 10
_HEADLINE_CHARS = 300


class Reason(StrEnum):
    """Why it ended."""

    SUCCESS = "success"  # the function returned; the program exited with 0
    ERROR = "error"  # the function raised, or returned what is not JSON; the program exited with another code
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"  # killed for it, or a MemoryError that nobody caught
    CRASH = "crash"  # killed by a signal; the function neither returned nor raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """An exception that nobody inside caught. All of it is text that foreign code may have chosen."""

    type: str
    message: str
    traceback: str

    @classmethod
    def bounded(cls, kind: str, message: str, traceback: str = "") -> Error:
        """The error with as much of each text as is kept: of the traceback the end."""
        return cls(type=kind[:_TYPE_CHARS], message=message[:_MESSAGE_CHARS], traceback=traceback[-_TRACEBACK_CHARS:])

    @classmethod
    def read(cls, document: object, clean: Callable[[str], str] = str) -> Error | None:
        """The error that a process told, bounded; `None` where it is none. Hostile input.

        Each text goes through `clean` before it is cut.
        """
        if not isinstance(document, dict):
            return None
        texts: list[Any] = [document.get(key) for key in ("type", "message", "traceback")]
        return cls.bounded(*map(clean, texts)) if all(isinstance(text, str) for text in texts) else None

    def judge(self, memory_bytes: int) -> tuple[Reason, str]:
        """The verdict under this limit on memory: "raised ValueError: no such customer"."""
        if self.type == "MemoryError":
            return Reason.OUT_OF_MEMORY, f"got a MemoryError under its memory limit of {megabytes(memory_bytes)}"
        first_line = self.message.strip().partition("\n")[0]
        headline = f"{self.type}: {first_line}" if first_line else self.type
        return Reason.ERROR, f"raised {printable(headline, _HEADLINE_CHARS)}"


def killed_for_memory(memory_bytes: int) -> str:
    """What is said of a process of which something was killed for this limit on memory."""
    return f"was killed for using more memory than its limit of {megabytes(memory_bytes)}"


def megabytes(size_bytes: int) -> str:
    """A size for people: "64 MB", "0.5 MB"."""
    return f"{round(size_bytes / (1 << 20), 1):g} MB"
