"""Which failures of a call are waited out, and for how long: a server that is started again is gone for seconds.

Whatever a call does, it is tried again where the server certainly did not get it: nobody listens, no server has told
its address yet, or it said that it is about to end. Where only the answer is missing (the connection broke, or a proxy
in between lost the server), the server may have acted: only calls that do the same when they are sent twice are tried
again. Scheduling is one: a run's id is made by the caller.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from runner.backoff import pauses
from runner.units import seconds

if TYPE_CHECKING:
    from datetime import timedelta

    from runner.errors import RunnerError

#: What a client has unless it is told otherwise.
PATIENCE = "10s"
_PAUSE_S = (0.05, 0.5)  # first and longest between two tries
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}


class Lost(Exception):  # noqa: N818 - it never leaves a client
    """A try that came to nothing.

    Attributes:
        error: what the caller gets unless another try comes to something.
        may_have_acted: whether the server perhaps got the call.
    """

    def __init__(self, error: RunnerError, *, may_have_acted: bool) -> None:
        super().__init__(str(error))
        self.error, self.may_have_acted = error, may_have_acted


class Patience:
    """The patience with one call, which begins to run out with its first failure."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._ends_at: float | None = None
        self._pauses = pauses(*_PAUSE_S)

    def pause_s(self, lost: Lost, *, repeatable: bool) -> float:
        """How many seconds to pause before the next try.

        Raises:
            RunnerError: there is none.
        """
        if lost.may_have_acted and not repeatable:
            raise lost.error from lost.__cause__
        now = time.monotonic()
        if self._ends_at is None:
            self._ends_at = now + self._longest_s
            if lost.may_have_acted:
                return 0.0  # a connection that was kept may have been closed meanwhile, with the server well
        if now >= self._ends_at:
            raise lost.error from lost.__cause__
        return min(next(self._pauses), self._ends_at - now)


def patience_s(value: timedelta | str | float) -> float:
    """The seconds of a client's patience; 0 needs no unit.

    Raises:
        InvalidOptionError: it is no duration.
    """
    is_none = value == "0" or (value == 0 and not isinstance(value, bool))
    return 0.0 if is_none else seconds(value, "patience")  # type: ignore[arg-type]  # which refuses other numbers


def is_absent(error: OSError) -> bool:
    """Whether a connection could not be made because nobody is there to make it with."""
    return isinstance(error, ConnectionError) or error.errno in _UNREACHABLE
