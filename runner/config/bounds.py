"""`[[bounds]]`: what tasks may have at most, and which other tasks they may schedule, whatever they ask for.

All entries whose patterns cover a task hold together, in any order: one more entry never allows what another refuses.
What a task (its file or `[tasks.NAME]`) asks for beyond a bound is an error, and the task does not run; a default
beyond it, which nobody asked for, is lowered to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.config.patterns import matches
from runner.config.sections import BoundsSection
from runner.domain.options.table import TASK_OPTIONS
from runner.domain.options.task_options import TaskOptions
from runner.errors import InvalidOptionError

#: Options that are numbers, by what holds them. `None` is no limit.
_NUMBERS = {TASK_OPTIONS[name].attribute: name for name in ("timeout", "memory", "cpus", "processes", "disk")}
_NO_LIMIT = float("inf")


class Bounds:
    """The entries of `[[bounds]]` of one config."""

    def __init__(self, file: Path, sections: Sequence[BoundsSection]) -> None:
        self._file, self._sections = file, tuple(sections)

    def hold(self, task: str, options: TaskOptions, asked: Collection[str]) -> TaskOptions:
        """The options, with defaults lowered to the bounds; `asked` are the names of those that are no defaults.

        Raises:
            InvalidOptionError: what was asked for exceeds a bound; names the option, the bound, and both values.
        """
        for place, bounds in self._of(task):
            lowered: dict[str, Any] = {**_lowered_numbers(options, bounds), **_lowered_lists(options, bounds)}
            for attribute in lowered:
                option = _NUMBERS.get(attribute, attribute)
                if option in asked:
                    given = TASK_OPTIONS[option].kind.write(getattr(options, attribute))
                    raise self._exceeds(f"{option} of task {task}", given, place, option, bounds)
            if options.queue is not None and "queue" in asked and not _allows(bounds.queues, options.queue):
                raise self._exceeds(f"queue of task {task}", options.queue, place, "queues", bounds)
            options = dataclasses.replace(options, **lowered)
        return options

    def check_name(self, task: str, origin: str) -> None:
        """Check that a task does not lead itself out of a bound by the name that its file gives it.

        `origin` is what it would be called without such a name: by its file, which it cannot choose.

        Raises:
            InvalidOptionError: an entry covers `origin`, and not the name.
        """
        covering = dict(self._of(task))
        for place, _ in self._of(origin):
            if place not in covering:
                raise InvalidOptionError(
                    f"the name of task {task} leads out of what the config allows its file: {place} of {self._file} "
                    f"covers {origin}; choose a name that it covers, too"
                )

    def check_run(self, task: str, queue: str | None, timeout_s: float | None) -> None:
        """Check what a request to schedule says of a run of `task`. Raises `InvalidOptionError`."""
        for place, bounds in self._of(task):
            if queue is not None and not _allows(bounds.queues, queue):
                raise self._exceeds(f"queue of a run of {task}", queue, place, "queues", bounds)
            if timeout_s is not None and bounds.timeout_s is not None and timeout_s > bounds.timeout_s:
                given = "none" if timeout_s == _NO_LIMIT else f"{timeout_s:g}s"
                raise self._exceeds(f"timeout of a run of {task}", given, place, "timeout", bounds)

    def check_scheduling(self, task: str, other: str, queue: str | None) -> None:
        """Check that `task` may schedule `other`, and name this queue. Raises `InvalidOptionError`."""
        for place, bounds in self._of(task):
            if not _allows(bounds.may_schedule, other):
                raise self._exceeds(f"what task {task} schedules", other, place, "may_schedule", bounds)
            if queue is not None and not _allows(bounds.queues, queue):
                raise self._exceeds(f"queue of what task {task} schedules", queue, place, "queues", bounds)

    def _of(self, task: str) -> Iterator[tuple[str, BoundsSection]]:
        for index, section in enumerate(self._sections):
            if any(matches(pattern, task) for pattern in section.tasks):
                yield f"bounds[{index}]", section

    def _exceeds(self, what: str, given: object, place: str, key: str, bounds: BoundsSection) -> InvalidOptionError:
        return InvalidOptionError(
            f"{what} exceeds what the config allows: got {_shown(given)}, and {place}.{key} of {self._file} is "
            f"{_shown(bounds.written(key))}"
        )


def _lowered_numbers(options: TaskOptions, bounds: BoundsSection) -> dict[str, float | int]:
    lowered = {}
    for attribute in _NUMBERS:
        most, value = getattr(bounds, attribute), getattr(options, attribute)
        if most is not None and (_NO_LIMIT if value is None else value) > most:
            lowered[attribute] = most
    return lowered


def _lowered_lists(options: TaskOptions, bounds: BoundsSection) -> dict[str, object]:
    lowered: dict[str, object] = {}
    if bounds.network is not None and options.network is not False:
        hosts = () if options.network is True else options.network
        allowed = tuple(host for host in hosts if _allows(bounds.network, host))
        if options.network is True or allowed != hosts:
            lowered["network"] = allowed or False
    allowed = tuple(name for name in options.secrets if _allows(bounds.secrets, name))
    if allowed != options.secrets:
        lowered["secrets"] = allowed
    return lowered


def _allows(patterns: Collection[str] | None, name: str) -> bool:
    return patterns is None or any(matches(pattern, name) for pattern in patterns)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
