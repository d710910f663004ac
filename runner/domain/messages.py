"""Every message of a channel between a task and the runner: from whom, how long, how many. What is not here is refused.

The table is what conversations are held to; the one in `engine/attempts/README.md` is the same. A message's kind is
known by how it begins, before the rest of it is waited for: `{"type":"log"`. Beyond these bounds all that is done for
an attempt is done within its share of the event loop (`sandbox.share`), so no kind needs a rate of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from sandbox.protocol.wire import FRAME_LIMIT, SHORT_BYTES

#: What stands around a result in its message.
RESPONSE_BEGINS, RESPONSE_ENDS = b'{"type":"response","result":', b"}"
#: How many values a message may hold that is longer than a piece: each takes time in every later step as well. It
#: holds for all but a result, which nobody here takes apart.
MOST_VALUES = 250_000
#: How many characters one text of such a message may have; those of parameters as many as they may take in all.
LONGEST_TEXT = 512 << 10
#: How many calls an attempt may have without a reply, and how many of those are worked on at once. One that waits for
#: the end of a run is not worked on meanwhile.
CALLS_OPEN, CALLS_AT_ONCE = 256, 8

_TYPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"(\w+)"')


@dataclass(frozen=True, slots=True)
class Message:
    """One kind.

    Attributes:
        kind: its "type".
        sender: who may send it: a `task` that runs, a `module` that is asked what it declares, or the `runner`.
        longest: how many bytes it may have.
        adds_result: whether the config's limit of a result is added to that.
        often: how many there may be.
    """

    kind: str
    sender: str
    longest: int
    adds_result: bool = False
    often: str = "any number, in turn"


MESSAGES = (
    Message("log", "task", 400 << 10),
    Message("progress", "task", 8 << 10),
    Message("call", "task", FRAME_LIMIT, often=f"{CALLS_OPEN} without a reply, {CALLS_AT_ONCE} worked on"),
    Message("response", "task", 512 << 10, adds_result=True, often="one"),
    Message("manifest", "module", 2 << 20, often="one"),
    Message("response", "module", 512 << 10, often="one"),
    Message("start", "runner", FRAME_LIMIT, often="one"),
    Message("discover", "runner", FRAME_LIMIT, often="one"),
    Message("reply", "runner", FRAME_LIMIT, often="one for each call"),
)


@lru_cache
def _longest_by_kind(sender: str, result_bytes: int) -> Mapping[bytes, int]:
    return {
        message.kind.encode(): min(FRAME_LIMIT, message.longest + (result_bytes if message.adds_result else 0))
        for message in MESSAGES
        if message.sender == sender
    }


class Longest:
    """How long a message of one sender may be, by how it begins."""

    def __init__(self, sender: str, result_bytes: int = 0) -> None:
        self._by_kind = _longest_by_kind(sender, result_bytes)

    def __call__(self, beginning: bytes) -> int:
        """Of a message that begins with these bytes; one of no known kind is a short one at most."""
        begins = _TYPE.match(beginning)
        return SHORT_BYTES if begins is None else self._by_kind.get(begins[1], SHORT_BYTES)
