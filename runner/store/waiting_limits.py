"""What may wait, of all and of what one task schedules, so that no task fills what all share.

Of each limit on what waits ([limits] of the config) a quarter is kept for runs from outside, and what one task
scheduled may be half of it. PostgreSQL counts by the same rule, in its functions `enqueue` and `share_refused`.
"""

from __future__ import annotations

from collections.abc import Callable

from runner.store.refusals import rest_is_for_outside, share_is_full, too_many_wait


def check_waiting(by: str, whose: str, waiting: int, limit: int, has_more: Callable[[int], bool]) -> None:
    """Refuse what is added to what waits somewhere, if that is too much in all, or more than the share of its task.

    Args:
        by: the task that schedules, '' for outside.
        whose: where it waits, such as "in queue 'mail'".
        waiting: what waits there, with what is added.
        limit: how much may wait there.
        has_more: whether more than a number wait there that `by` scheduled; asked only where it may matter.
    """
    if waiting > limit:
        raise too_many_wait(limit, whose)
    if not by:
        return
    if waiting > limit - limit // 4:
        raise rest_is_for_outside(by, limit, whose)
    half = max(limit // 2, 1)
    if waiting > half and has_more(half):
        raise share_is_full(by, limit, whose)


def where(app: str, queue: str | None, task: str | None) -> str:
    """Whose limit it is: that of a queue, of a task without one, or of an app."""
    if queue:
        return f"in queue {queue!r}"
    return f"of task {task!r} without a queue" if task else f"of app {app!r}"
