"""Asks the modules of a snapshot what they declare: only those that changed, and none of them at another's cost.

A module's answer, a problem too, is remembered with its make, see `makes`, and not asked for again as long as that is
the same. There are three lanes. Whoever answered well the last time is asked in a lane that no newcomer is in. Others
have a few seconds; whoever needs longer begins again in the slow lane, and the next time begins there. So modules that
hang, be it many, delay one another, and for a few seconds those that nobody knows yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from runner.catalog.confinement import Launcher
from runner.catalog.discovery import UNASKED, Discovery, ModuleProblem, Modules, ask
from runner.catalog.manifest import TaskManifest
from runner.catalog.snapshot import Snapshot
from runner.domain.run import TaskError
from sandbox import Limits

_AT_ONCE = 4
_SLOW_AT_ONCE = 2
#: What a module that is not known yet has before it counts as slow.
_QUICK_S = 1.5
#: Types of problems that may be the machine's doing: they are remembered, but asked about again after a restart.
_OF_CIRCUMSTANCE = frozenset({"TimeoutError", "MemoryError"})

_UNANSWERED = TaskError(type="Unanswered", message="its import has not come to an end yet", traceback="")

_logger = logging.getLogger(__name__)

#: What a module declares, or why it declares nothing.
Answer = tuple[TaskManifest, ...] | TaskError


@dataclass(frozen=True, slots=True)
class Remembered:
    """A module's answer, and of what make it was then."""

    make: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class _Asking:
    make: str
    code: str
    is_no_hurry: asyncio.Event  # it has answered, or is slow
    task: asyncio.Task[None]


class Inquiry:
    """What modules declare, as far as it is known. Lives on the event loop.

    Attributes:
        answers: the last one of each module.
    """

    def __init__(self, limits: Limits, timeout_s: float, answered: Callable[[], None]) -> None:
        """`answered` is called for each answer."""
        self.answers: dict[str, Remembered] = {}
        self._limits, self._timeout_s, self._answered = limits, timeout_s, answered
        self._asking: dict[str, _Asking] = {}
        self._slow = set[str]()  # modules that took long
        self._doubtful = set[str]()  # modules that are asked again although their make is the same
        self._known_lane, self._lane = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE)
        self._slow_lane = asyncio.Semaphore(_SLOW_AT_ONCE)

    @property
    def codes(self) -> set[str]:
        """Hashes of the snapshots that are asked right now."""
        return {asking.code for asking in self._asking.values()}

    def remember(self, answers: Mapping[str, Remembered]) -> None:
        """Take over what modules answered before a restart; what may have been the machine's doing is asked again."""
        self.answers = dict(answers)
        self._slow = {module for module, known in answers.items() if _is_of_circumstance(known.answer)}
        self._doubtful = set(self._slow)

    def begin(self, snapshot: Snapshot, makes: Mapping[str, str], launcher: Launcher) -> None:
        """Ask those of these modules whose make has no answer yet, and no others any more."""
        for module, asking in list(self._asking.items()):
            if makes.get(module) != asking.make:
                asking.task.cancel()
                del self._asking[module]
        self.answers = {module: known for module, known in self.answers.items() if module in makes}
        for module, make in sorted(makes.items()):
            if module in self._asking or self._knows(module, make):
                continue
            is_no_hurry = asyncio.Event()
            answering = self._ask(module, make, snapshot, launcher, is_no_hurry)
            task = asyncio.create_task(answering, name=f"what {module} declares")
            self._asking[module] = _Asking(make, snapshot.hash, is_no_hurry, task)

    def _knows(self, module: str, make: str) -> bool:
        known = self.answers.get(module)
        is_same = known is not None and known.make == make and is_certain(known.answer)
        return is_same and module not in self._doubtful

    async def settle(self, patience_s: float | None) -> None:
        """Wait until all have answered that are not slow, for at most `patience_s`; for `None`, until all have."""
        asking = list(self._asking.values())
        if patience_s is None:
            await asyncio.gather(*(each.task for each in asking), return_exceptions=True)
        else:
            await _within(patience_s, [each.is_no_hurry.wait() for each in asking])

    def found(self, modules: Modules) -> Discovery:
        """What is known of these modules; who has not answered yet is a problem meanwhile."""
        manifests, problems = dict[str, tuple[TaskManifest, ...]](), dict(modules.problems)
        for module in modules.paths:
            known, asking = self.answers.get(module), self._asking.get(module)
            is_known = known is not None and (asking is None or asking.make == known.make)
            answer = known.answer if known is not None and is_known else _UNANSWERED
            if isinstance(answer, TaskError):
                problems[module] = ModuleProblem(module=module, file=modules.files[module], error=answer)
            else:
                manifests[module] = answer
        return Discovery(modules.files, manifests, problems)

    async def close(self) -> None:
        """Ask no more."""
        tasks = [asking.task for asking in self._asking.values()]
        self._asking.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(
        self, module: str, make: str, snapshot: Snapshot, launcher: Launcher, is_no_hurry: asyncio.Event
    ) -> None:
        ask_it = partial(ask, module, snapshot, launcher, self._limits, timeout_s=self._timeout_s)
        try:
            answer = None if module in self._slow else await self._ask_quickly(module, ask_it)
            if answer is None:
                self._slow.add(module)
                is_no_hurry.set()
                async with self._slow_lane:
                    answer = await ask_it()
        except Exception as error:
            _logger.exception("a bug of isolane kept it from asking what %s declares; please report it", module)
            answer = TaskError(type=UNASKED, message=f"it could not be looked at: {error!r}", traceback="")
        self._doubtful.discard(module)
        if not _is_of_circumstance(answer):
            self._slow.discard(module)
        self.answers[module] = Remembered(make, answer)
        del self._asking[module]
        is_no_hurry.set()
        self._answered()

    async def _ask_quickly(self, module: str, ask_it: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Its answer, `None` where it takes too long; then it begins again where it is in nobody's way."""
        known = self.answers.get(module)
        is_good = known is not None and not isinstance(known.answer, TaskError)
        async with self._known_lane if is_good else self._lane:
            try:
                async with asyncio.timeout(_QUICK_S):
                    return await ask_it()
            except TimeoutError:
                return None


async def _within(patience_s: float, waits: list[Coroutine[Any, Any, Any]]) -> None:
    try:
        async with asyncio.timeout(patience_s):
            await asyncio.gather(*waits)
    except TimeoutError:
        pass


def is_certain(answer: Answer) -> bool:
    """Whether it is the module's own doing, not that of a sandbox that failed."""
    return not isinstance(answer, TaskError) or answer.type != UNASKED


def _is_of_circumstance(answer: Answer) -> bool:
    return isinstance(answer, TaskError) and answer.type in _OF_CIRCUMSTANCE
