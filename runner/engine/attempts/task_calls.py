"""Answers what a running task asks: schedule runs, look at one, wait for one.

A task sees the runs that its own run led to, and those that were returned to it when it scheduled; whether there are
others it is not told. So whoever trusts neither of two tasks can schedule both, and pass on what the one shall know of
the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from traceback import format_exception
from typing import Any

from runner.domain.checks import shown
from runner.domain.masking import Mask
from runner.domain.messages import CALLS_AT_ONCE
from runner.domain.run import Claim, NewRun, Run, RunDetail
from runner.domain.status import Status
from runner.engine.api.presenter import unstored
from runner.engine.attempts.parking import Parking
from runner.engine.attempts.parts import Parts
from runner.engine.attempts.timelimit import TimeLimit
from runner.errors import (
    DeadlockError,
    ExposedSecretError,
    InvalidOptionError,
    InvariantError,
    LimitExceededError,
    NotFoundError,
    RunnerError,
)
from runner.units import rfc3339
from sandbox import JsonText, Share

#: What the parameters of runs that wait for their parent's success may take up in the runner.
_EFFECTS_BYTES = 16 << 20
#: Where in longer parameters a secret stands is not looked for.
_LOCATED_CHARS = 64 << 10

_logger = logging.getLogger(__name__)


class TaskCalls:
    """The calls of one attempt."""

    def __init__(
        self,
        parts: Parts,
        claim: Claim,
        mask: Mask,
        *,
        time: TimeLimit,
        parking: Parking,
    ) -> None:
        self._parts, self._claim, self._mask = parts, claim, mask
        self._time, self._parking = time, parking
        self._share = Share()
        self._working = asyncio.Semaphore(CALLS_AT_ONCE)
        self._family: frozenset[str] | None = None  # its run and the runs that led to it
        self._shown: set[str] = set()  # runs that it may see
        self._effects_bytes = 0
        #: Runs that appear in the same commit as this attempt's success, or never.
        self.effects: list[NewRun] = []

    async def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """The reply frame to a call frame; whatever is wrong with the call becomes an error in the reply."""
        reply: dict[str, Any] = {"type": "reply", "id": call.get("id")}
        try:
            reply["result"] = await self._do(call.get("method"), call.get("arguments"))
        except RunnerError as error:
            reply["error"] = {"code": error.code, "message": str(error)}
        except Exception as error:  # without a reply the task would wait for ever
            report = self._mask.text("".join(format_exception(error)))
            _logger.error(  # noqa: TRY400 - what the exception says may hold a secret
                "a bug of isolane failed a call of run %s; please report it\n%s", self._claim.run.id, report
            )
            reply["error"] = {"code": InvariantError.code, "message": f"isolane itself failed: {error!r:.200}"}
        return reply

    async def _do(self, method: object, arguments: object) -> Any:
        if not isinstance(arguments, dict):
            raise InvalidOptionError("arguments must be an object")
        match method:
            case "schedule":
                async with self._working:
                    return await self._schedule(arguments.get("runs"))
            case "show":
                async with self._working:
                    return await self._document(await self._get(arguments.get("run")))
            case "wait":
                return await self._wait(arguments.get("run"), arguments.get("timeout"))
            case _:
                raise InvalidOptionError(f"there is no call {shown(method)}")

    async def _schedule(self, requests: object) -> list[JsonText]:
        if not isinstance(requests, list):
            raise InvalidOptionError("runs must be a list")
        parent = self._claim.run
        most = self._parts.settings.limits.children_per_run
        if len(requests) > most:
            raise LimitExceededError(f"a run may schedule {most} others (limits.children_per_run): got {len(requests)}")
        steps = self._parts.submission.preparing(parent.app, requests, parent=parent)
        prepared = await self._share.go_through(steps)
        for (new, _), request in zip(prepared, requests, strict=True):
            await self._share.rest()
            with self._share:
                self._refuse_secrets(new, request)
        effects = [new for new, with_success in prepared if with_success]
        self._hold(effects)
        now = [new for new, with_success in prepared if not with_success]
        stored = iter(await self._parts.enqueueing.enqueue(now, self._share) if now else ())
        details = [unstored(new) if with_success else next(stored) for new, with_success in prepared]
        self.effects += effects
        self._shown |= {detail.run.id for detail in details}
        return await self._parts.presenter.written(details, self._share)

    async def _document(self, detail: RunDetail) -> JsonText:
        return (await self._parts.presenter.written([detail], self._share))[0]

    def _refuse_secrets(self, new: NewRun, request: object) -> None:
        """Nothing of the request is stored if it holds a secret; a task that needs one names it itself."""
        stored = (new.parameters, new.queue or "", new.idempotency_key or "", *new.tags)
        if any(self._mask.find(text) is not None for text in stored):
            is_long = len(new.parameters) > _LOCATED_CHARS
            found = "parameters hold a secret" if is_long else self._mask.locate(request, "request")
            if found is not None:
                raise ExposedSecretError(f'{found}, and it is stored: let task {new.task} name it in its own "secrets"')

    def _hold(self, effects: list[NewRun]) -> None:
        """Count what is kept in the runner's memory until the task has succeeded."""
        size = sum(len(new.parameters) + 1000 for new in effects)
        if self._effects_bytes + size > _EFFECTS_BYTES:
            raise LimitExceededError(
                f"the parameters of all runs scheduled with_success may have {_EFFECTS_BYTES >> 20} MB together"
            )
        self._effects_bytes += size

    async def _get(self, run: object) -> RunDetail:
        run = _run_id(run)
        with contextlib.suppress(NotFoundError):
            if await self._may_see(run):
                return await self._parts.store.get(self._claim.run.app, run)
        # In the same words whether there is one or not.
        raise NotFoundError(
            f"no run {run:.80} among those that this run has led to: a task sees what it scheduled and what came of "
            "that; whoever scheduled both can pass on results"
        )

    async def _may_see(self, run: str) -> bool:
        own = self._claim.run
        if run not in self._shown:
            if all(led_to.id != own.id for led_to in await self._parts.store.ancestors(own.app, run)):
                return False
            self._shown.add(run)
        return True

    async def _wait(self, run: object, timeout_s: object) -> JsonText:
        if timeout_s is not None and (not isinstance(timeout_s, int | float) or not 0 <= timeout_s < 1e9):
            raise InvalidOptionError("timeout must be a number of seconds, or null")
        run = _run_id(run)
        async with self._working:
            family = await self._own_family()
            if run in family:
                raise DeadlockError(f"run {run} cannot end while this run, which it led to, waits for it")
            if any(effect.id == run for effect in self.effects):
                raise DeadlockError(f"run {run} appears with the success of this run, which waits for it")
            detail = await self._get(run)
            if detail.run.status.is_final or timeout_s == 0:
                return await self._document(detail)
            await self._refuse_deadlock(detail.run, family)
            if timeout_s is None:
                self._refuse_too_late(detail.run)
        async with self._parking.waiting():
            detail = await self._parts.waiters.wait(detail.run.app, detail.run.id, timeout_s)
            # Before it has its time again: from then on it waits for this answer alone.
            return await self._document(detail)

    async def _own_family(self) -> frozenset[str]:
        if self._family is None:
            own = self._claim.run
            self._family = frozenset(run.id for run in await self._parts.store.ancestors(own.app, own.id))
        return self._family

    def _refuse_too_late(self, awaited: Run) -> None:
        """A wait without an end of its own, for what is due when this attempt's time would be over."""
        due_at = awaited.due_at if awaited.next_attempt_at is None else awaited.next_attempt_at
        if self._time.left_s == float("inf") or awaited.status in (Status.RUNNING, Status.QUEUED):
            return
        over_at = self._parts.store.now() + round(self._time.left_s * 1e6)
        if due_at > over_at:
            raise DeadlockError(
                f"run {awaited.id} is due at {rfc3339(due_at)}, and the time of this run would be over before, at "
                f"{rfc3339(over_at)}: give the wait a timeout, this task a longer one, or do not wait for it"
            )

    async def _refuse_deadlock(self, awaited: Run, family: frozenset[str]) -> None:
        waiter = self._claim.run
        if awaited.queue is None or awaited.status is Status.RUNNING:
            return
        queue = await self._parts.store.queue(awaited.app, awaited.queue)
        held = [holder.run for holder in queue.holders if holder.run in family]
        if len(held) >= queue.rule.concurrency:
            raise DeadlockError(
                f"run {awaited.id} could never start: its queue {queue.name} is held by run {held[0]}, "
                f"{'which waits for it' if held[0] == waiter.id else 'an ancestor of the one that waits for it'}; "
                f"schedule it in another queue, or do not wait for it"
            )


def _run_id(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise InvalidOptionError(f"a run's id must be text: got {shown(value)}")
    return value


def is_call(frame: dict[str, Any]) -> bool:
    """Whether a frame from a task is a call that a reply can be matched to."""
    number = frame.get("id")
    return frame.get("type") == "call" and isinstance(number, int) and not isinstance(number, bool)
