"""Whose turn it is to be claimed for: slots go round among files of tasks, not among tasks.

A file may declare hundreds of tasks, and schedule runs of all of them. Were each task served in its turn, the runs of
another file would wait for one of each; so the file that was served longest ago goes first, and among its lanes the one
whose turn is the oldest. Priorities order the runs of one lane, and do not count beyond it.

This is in memory only, for each node by itself: after a restart, the round begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.store.records import TaskKey

_MOST_KEPT = 10_000


class FileTurns:
    """Which file was served when; the larger, the later. One that is not known was never served."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._last = 0

    def served(self, file: str) -> int:
        """When it was served last."""
        return self._served.get(file, 0)

    def serve(self, task: TaskKey, files: Mapping[TaskKey, str]) -> None:
        """A run of `task` was claimed."""
        if len(self._served) > _MOST_KEPT:
            self._served.clear()
        self._last += 1
        self._served[files.get(task, "")] = self._last

    def numbered(self, tasks: Sequence[TaskKey], files: Mapping[TaskKey, str]) -> tuple[list[int], list[int]]:
        """For SQL: the number of each task's file, from 1 on, and when each of these was served."""
        numbers: dict[str, int] = {}
        of_tasks = [numbers.setdefault(files.get(task, ""), len(numbers) + 1) for task in tasks]
        return of_tasks, [self.served(file) for file in numbers]
