"""One attempt of one run, from its claim to its record.

    launch confined → converse until a response, a decision or the end → kill what is left → judge → record

The first of response and decision stands. Whatever comes from inside is hostile: a frame that is none, or of the wrong
shape, ends the attempt. The store is told until it has heard: a full disk or a lost database delays the record, and
never changes it. A launcher that died, or a host that cannot confine, loses the attempt and blames nobody's task.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import Any

from runner import jsonvalue
from runner.catalog import TaskEntry
from runner.domain.lifecycle import decide
from runner.domain.run import Claim, Ending, NewRun, TaskError
from runner.domain.status import Reason
from runner.engine.calls import Calls, is_call
from runner.engine.logbook import Logbook
from runner.engine.output import OutputReader
from runner.engine.parts import Parts
from runner.engine.presenter import Presenter
from runner.engine.timelimit import TimeLimit
from runner.engine.verdict import Decision, Response, judge, read_error
from runner.engine.watchdog import tree_memory
from runner.errors import ConflictError, InvalidValueError, LimitExceededError, StaleClaimError, StoreError
from runner.units import describe_seconds
from sandbox import Confined, Outcome, SandboxError, WireError

_CALLS_AT_ONCE = 256
_EXIT_S = 0.5  # for a process that closed its channel to come to its end by itself
_LOG_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})

_logger = logging.getLogger(__name__)


class Execution:
    """Executes one claim. `stop` may be called at any moment of it, any number of times."""

    def __init__(self, parts: Parts, presenter: Presenter, claim: Claim, entry: TaskEntry) -> None:
        self._parts, self._claim, self._entry = parts, claim, entry
        self._run = claim.run
        self._calls = Calls(parts, presenter, claim, park=self._park, resume=self._resume)
        self._confined: Confined | None = None
        self._decision: Decision | None = None
        self._response: Response | None = None
        self._fault: str | None = None
        self._killing: asyncio.TimerHandle | None = None
        self._parking = asyncio.Lock()
        self._logbook = Logbook(
            parts.store,
            self._run.app,
            self._run.id,
            claim.attempt,
            limit_bytes=parts.settings.limits.log_bytes,
            now=parts.now,
        )
        timeout_s = entry.options.timeout_s if self._run.timeout_s is None else self._run.timeout_s
        self._timeout_s = timeout_s
        self._time = TimeLimit(timeout_s, self._on_timeout)

    @property
    def code(self) -> str:
        """Hash of the snapshot that it executes."""
        return self._entry.code

    async def execute(self) -> None:
        """Execute the attempt, and record how it ended."""
        ending = await self._attempt()
        await self._logbook.flush()
        effects = self._calls.effects if ending.reason is Reason.SUCCESS else []
        await self._record(ending, effects)

    def cancel(self) -> None:
        """End it since somebody asked to."""
        # What the claim says of the run is older than that.
        self._run = dataclasses.replace(self._run, cancel_requested_at=self._parts.now())
        self.stop(Reason.CANCELLED, "was cancelled while it ran", grace_s=self._parts.settings.runner.stop_grace_s)

    def stop(self, reason: Reason, why: str, *, grace_s: float) -> None:
        """Decide how it ends, unless that is decided: SIGTERM, after `grace_s` seconds SIGKILL to all of it."""
        if self._decision is not None or self._response is not None:
            return
        self._decision = Decision(reason=reason, why=why)
        self._time.pause()
        if self._confined is not None:
            self._end(self._confined, grace_s)

    def _end(self, confined: Confined, grace_s: float) -> None:
        if grace_s <= 0:
            confined.kill()
            return
        confined.terminate()
        self._killing = asyncio.get_running_loop().call_later(grace_s, confined.kill)

    def _on_timeout(self) -> None:
        self.stop(
            Reason.TIMEOUT,
            f"passed its timeout of {describe_seconds(self._timeout_s)}",
            grace_s=self._parts.settings.runner.stop_grace_s,
        )

    # --- the attempt --------------------------------------------------------------------------------------------

    async def _attempt(self) -> Ending:
        try:
            confined = await self._parts.keeper.launch(self._parts.catalog.spec(self._entry))
        except (SandboxError, OSError) as error:
            return self._unlaunched(error)
        self._confined = confined
        if self._decision is not None:
            confined.kill()
        readers = [
            OutputReader(confined.stdout, "stdout", self._logbook),
            OutputReader(confined.stderr, "stderr", self._logbook),
        ]
        memory_watch = asyncio.create_task(self._watch_memory(confined))
        self._time.run()
        try:
            await self._converse(confined)
        finally:
            self._time.pause()
            memory_watch.cancel()
            self._parts.watchdog.forget(confined.pid)
            confined.kill()
            if self._killing is not None:
                self._killing.cancel()
            try:
                outcome: Outcome | SandboxError = await confined.wait()
            except SandboxError as error:
                outcome = error
            for reader in readers:
                reader.close()
        if isinstance(outcome, SandboxError):
            if self._response is None:
                return self._unlaunched(outcome)
            outcome = Outcome(
                exit_code=None, signal=None, memory_kills=0, peak_memory_bytes=None, cpu_time_s=None, wall_time_s=0,
                walls=self._parts.sandbox.walls,
            )  # fmt: skip
        return self._conclude(outcome)

    def _unlaunched(self, error: Exception) -> Ending:
        why = f"could not be executed by this node, through no fault of the task: {error}"
        _logger.error("attempt %d of run %s %s", self._claim.attempt, self._run.id, why)
        decision = self._decision or Decision(reason=Reason.LOST, why=why)
        return Ending(reason=decision.reason, why=decision.why, finished_at=self._parts.now(), code=self._entry.code)

    def _conclude(self, outcome: Outcome) -> Ending:
        response = self._response
        reason, why = judge(response, self._decision, outcome, self._fault, self._entry.options.memory_bytes)
        return Ending(
            reason=reason,
            why=why,
            finished_at=self._parts.now(),
            result=response.result if response is not None else None,
            error=response.error if response is not None else None,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            peak_memory_bytes=outcome.peak_memory_bytes,
            cpu_time_s=outcome.cpu_time_s,
            sandbox=outcome.walls,
            code=self._entry.code,
        )

    async def _watch_memory(self, confined: Confined) -> None:
        limit = self._entry.options.memory_bytes
        if confined.limits_memory:
            await confined.memory_killed()
            why = f"the kernel killed a process of it for passing the memory limit of {limit / (1 << 20):g} MB"
            self.stop(Reason.OUT_OF_MEMORY, why, grace_s=0)
            return
        loop = asyncio.get_running_loop()

        def on_excess(used: int) -> None:
            why = f"used {used / (1 << 20):.0f} MB of memory, past its limit of {limit / (1 << 20):g} MB"
            loop.call_soon_threadsafe(lambda: self.stop(Reason.OUT_OF_MEMORY, why, grace_s=0))
            confined.kill()  # at once, from the watchdog's own thread: the loop may be late

        self._parts.watchdog.watch(confined.pid, limit, on_excess)

    # --- the conversation ---------------------------------------------------------------------------------------

    async def _converse(self, confined: Confined) -> None:
        """Talk to the task until it responds, faults, or is no more."""
        replies: set[asyncio.Task[None]] = set()
        try:
            await confined.send(self._start_frame())
            while (frame := await confined.receive()) is not None:
                if is_call(frame):
                    reply = asyncio.create_task(self._reply(confined, frame))
                    replies.add(reply)
                    reply.add_done_callback(replies.discard)
                    if len(replies) >= _CALLS_AT_ONCE:
                        await asyncio.wait(replies, return_when=asyncio.FIRST_COMPLETED)
                elif not await self._take(confined, frame):
                    return
            await self._await_end(confined)
        except WireError as error:
            self._fault = f"sent what is no message ({error})"
        except (OSError, SandboxError):
            pass  # it died in the middle of a message: how it ended tells why
        finally:
            for reply in replies:
                reply.cancel()
            await asyncio.gather(*replies, return_exceptions=True)

    async def _await_end(self, confined: Confined) -> None:
        """Its channel is closed without a response, mostly since it is ending: its exit tells more than a kill."""
        self._time.pause()
        with contextlib.suppress(TimeoutError, SandboxError):
            async with asyncio.timeout(_EXIT_S):
                await confined.wait()
                return
        self._fault = "closed its channel"

    async def _reply(self, confined: Confined, frame: dict[str, Any]) -> None:
        reply = await self._calls.answer(frame)
        with contextlib.suppress(OSError, SandboxError):
            await confined.send(reply)

    async def _take(self, confined: Confined, frame: dict[str, Any]) -> bool:
        """Take one frame; whether the conversation goes on."""
        match frame:
            case {"type": "log", "level": str(level), "message": str(message), "at": int(at), **rest}:
                name = rest.get("logger")
                text = f"{name}: {message}" if isinstance(name, str) and name != "root" else message
                self._logbook.record(level if level in _LOG_LEVELS else "INFO", text, min(at, self._parts.now()))
            case {"type": "progress", "fraction": int() | float() as fraction, "text": str() | None as text}:
                progress = {"fraction": min(max(float(fraction), 0.0), 1.0), "text": text and text[:1000]}
                with contextlib.suppress(StoreError):
                    await self._parts.store.progress(self._claim, jsonvalue.dumps(progress, limit_bytes=1 << 16))
            case {"type": "response", **rest}:
                self._respond(confined, rest)
                return False
            case _:
                self._fault = "sent a message of no known kind"
                return False
        return True

    def _respond(self, confined: Confined, frame: dict[str, Any]) -> None:
        if self._decision is not None:
            return
        if confined.memory_kills():
            return  # what is left of its tree may still answer; the kill is what happened to it
        if "error" in frame:
            error = read_error(frame["error"])
            if error is None:
                self._fault = "sent a response of the wrong shape"
                return
            self._response = Response(error=error)
            return
        try:
            limit = self._parts.settings.limits.result_bytes
            self._response = Response(result=jsonvalue.dumps(frame.get("result"), "result", limit_bytes=limit))
        except InvalidValueError as error:
            self._response = Response(error=TaskError(type="InvalidValueError", message=str(error), traceback=""))

    def _start_frame(self) -> dict[str, Any]:
        run, limits = self._run, self._parts.settings.limits
        now = self._parts.now()
        return {
            "type": "start",
            "module": self._entry.module,
            "function": self._entry.function,
            "parameters": jsonvalue.loads(self._claim.parameters, "parameters"),
            "limits": {"parameters_bytes": limits.parameters_bytes, "result_bytes": limits.result_bytes},
            "context": {
                "run": run.id,
                "attempt": self._claim.attempt,
                "fence": self._claim.fence,
                "task": run.task,
                "queue": run.queue,
                "app": run.app,
                "deadline": None if self._timeout_s == float("inf") else now / 1e6 + self._timeout_s,
                "tags": list(run.tags),
                "started_at": now / 1e6,
            },
        }

    async def _park(self) -> None:
        assert self._confined is not None
        async with self._parking:
            self._time.pause()
            uses = await asyncio.to_thread(tree_memory, self._confined.pid)
            self._parts.capacity.park(self._claim.token, uses)

    async def _resume(self) -> None:
        async with self._parking:
            await self._parts.capacity.resume(self._claim.token)
            if self._decision is None:
                self._time.run()

    # --- the record ---------------------------------------------------------------------------------------------

    async def _record(self, ending: Ending, effects: list[NewRun]) -> None:
        policy = self._run.retry or self._entry.options.retry
        delay_s = 0.05
        while True:
            verdict = decide(self._run, ending, policy, self._parts.rng)
            try:
                await self._parts.store.finish(self._claim, ending, verdict, effects)
            except StaleClaimError:
                _logger.warning("attempt %d of run %s had lost its claim", self._claim.attempt, self._run.id)
            except (LimitExceededError, ConflictError) as error:
                ending, effects = _refused(ending, error), []
                continue
            except StoreError as error:
                _logger.warning("the end of run %s is not stored yet: %s", self._run.id, error)
                await asyncio.sleep(delay_s * self._parts.rng.uniform(0.5, 1))
                delay_s = min(delay_s * 2, 5.0)
                continue
            return


def _refused(ending: Ending, error: Exception) -> Ending:
    """A success whose effects cannot be stored is none: both come in one commit, or neither."""
    message = f"the runs that it scheduled with_success were refused: {error}"
    return dataclasses.replace(
        ending,
        reason=Reason.ERROR,
        why=f"the task returned, but {message}",
        result=None,
        error=TaskError(type=type(error).__name__, message=message, traceback=""),
    )
