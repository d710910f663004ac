"""Groups that are used again, because making and removing one for each attempt is expensive.

The kernel takes a removed group down in the background, under a lock of the whole system. Whoever makes or joins a
group meanwhile waits for milliseconds, where the calls themselves take a tenth of one. So a group whose attempt is dead
is kept, and renewed for the next attempt.

Nothing of an earlier attempt may show in the verdict on a later one. Counters begin anew, a pending notice is taken
away, and a group that cannot be renewed is removed: if something in it is alive or was killed for memory, or if memory
is still charged to it (the page cache of files that were read), which would count against the next attempt.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from sandbox.spec import Limits

#: So many are kept while nothing runs in them.
_IDLE_GROUPS = 32

#: How much the kernel's own bookkeeping may leave charged for a while.
LEFT_BEHIND_BYTES = 1 << 20


class Renewable(Protocol):
    """A group that may serve another attempt."""

    def renew(self, limits: Limits) -> bool:
        """Make it as new, with these limits; `False` if that is not possible. Raises `OSError`."""

    def discard(self) -> None:
        """Remove it from the kernel."""


AnyGroup = TypeVar("AnyGroup", bound=Renewable)


class Pool(Generic[AnyGroup]):
    """The groups that no attempt uses."""

    def __init__(self) -> None:
        self._idle: list[AnyGroup] = []

    def take(self, limits: Limits) -> AnyGroup | None:
        """One that is as good as new, `None` if there is none."""
        while self._idle:
            group = self._idle.pop()
            if _is_renewed(group, limits):
                return group
            group.discard()
        return None

    def keep(self, group: AnyGroup) -> None:
        """Take back a group in which nothing is alive."""
        if len(self._idle) < _IDLE_GROUPS:
            self._idle.append(group)
        else:
            group.discard()

    def clear(self) -> None:
        """Remove all."""
        while self._idle:
            self._idle.pop().discard()


def _is_renewed(group: Renewable, limits: Limits) -> bool:
    try:
        return group.renew(limits)
    except OSError:
        return False
