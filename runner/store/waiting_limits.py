"""What tasks may have waiting, so that no task fills what all share.

Of each limit on what waits ([limits] of the config) a quarter is kept for runs from outside, and what one task
scheduled may be half of it. PostgreSQL counts by the same rule, in its function `share_refused`.
"""

from __future__ import annotations

from collections.abc import Callable

from runner.errors import ConflictError, LimitExceededError


def check_share(by: str, whose: str, waiting: int, limit: int, has_more: Callable[[int], bool]) -> None:
    """Refuse what the task `by` adds to what waits, if that takes more than its share.

    Args:
        by: the task that schedules.
        whose: what the limit is on, such as "in queue 'mail'".
        waiting: what waits there, with what is added.
        limit: how much may wait there.
        has_more: whether more than a number wait there that `by` scheduled; asked only where it may matter.
    """
    if waiting > limit - limit // 4:
        raise outside_only(by, whose, limit)
    half = max(limit // 2, 1)
    if waiting > half and has_more(half):
        raise own_share(by, whose, limit)


def outside_only(by: str, whose: str, limit: int) -> LimitExceededError:
    """The rest is for runs from outside."""
    return LimitExceededError(
        f"task {by!r} cannot schedule more: {limit - limit // 4} runs {whose} wait, and the rest of the limit of "
        f"{limit} is kept for runs from outside ([limits] of the config)"
    )


def own_share(by: str, whose: str, limit: int) -> LimitExceededError:
    """The task fills its share by itself."""
    return LimitExceededError(
        f"task {by!r} cannot schedule more: {max(limit // 2, 1)} runs {whose} wait that it scheduled, and one task may "
        f"have half of the limit of {limit} ([limits] of the config)"
    )


def taken(run: str) -> ConflictError:
    """The id is that of a run of another task, or that somebody else scheduled."""
    return ConflictError(f"id {run} is taken by another run: make a new one for each run (a UUIDv7)")
