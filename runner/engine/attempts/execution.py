"""One attempt of one run, from its claim to its record.

    launch confined → converse until a response, a decision or the end → kill what is left → judge → record

The first of response and decision stands. A launcher that died, or a host that cannot confine, loses the attempt and
blames nobody's task.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from typing import Any

from runner.catalog import TaskEntry
from runner.domain.masking import Mask
from runner.domain.messages import MOST_VALUES
from runner.domain.run import Claim, Ending
from runner.domain.status import Reason
from runner.engine.api.presenter import embedded
from runner.engine.attempts.conversation import Conversation
from runner.engine.attempts.logbook import Logbook
from runner.engine.attempts.parking import Parking
from runner.engine.attempts.parts import Parts
from runner.engine.attempts.recorder import Finish
from runner.engine.attempts.task_calls import TaskCalls
from runner.engine.attempts.timelimit import TimeLimit
from runner.engine.attempts.verdict import Decision, Response, judge, killed_for_memory
from runner.errors import SecretError
from runner.units import describe_seconds
from sandbox import Confined, Lease, Outcome, SandboxError
from sandbox.host.output_reader import OutputReader

#: Many attempts end before this, and what they wrote is read at once then.
_OUTPUT_IDLE_S = 0.025

_logger = logging.getLogger(__name__)


class Execution:
    """Executes one claim. `stop` may be called at any moment of it, any number of times."""

    def __init__(
        self,
        parts: Parts,
        claim: Claim,
        entry: TaskEntry,
        *,
        lease: Lease | None,
        finish: Finish,
    ) -> None:
        """`lease` is that of the identity which has the claim; `finish` tells the store how it ended."""
        self._parts, self._claim, self._entry, self._lease = parts, claim, entry, lease
        self._finish = finish
        self._run = claim.run
        self._mask = Mask()
        self._confined: Confined | None = None
        self._decision: Decision | None = None
        self._conversation: Conversation | None = None
        self._killing: asyncio.TimerHandle | None = None
        self._logbook = Logbook(
            parts.store,
            self._run.app,
            self._run.id,
            claim.attempt,
            limit_bytes=parts.settings.limits.log_bytes,
            now=parts.store.now,
            mask=self._mask,
        )
        timeout_s = entry.options.timeout_s if self._run.timeout_s is None else self._run.timeout_s
        self._timeout_s = timeout_s
        self._time = TimeLimit(timeout_s, self._on_timeout)
        self._parking = Parking(
            parts.capacity,
            self._time,
            token=claim.token,
            memory_bytes=entry.options.memory_bytes,
            cpus=entry.options.cpus,
        )
        self._calls = TaskCalls(parts, claim, self._mask, time=self._time, parking=self._parking)

    @property
    def code(self) -> str:
        """Hash of the snapshot that it executes."""
        return self._entry.code

    async def execute(self) -> None:
        """Execute the attempt, and record how it ended."""
        ending = await self._attempt()
        await self._logbook.flush()
        effects = self._calls.effects if ending.reason is Reason.SUCCESS else ()
        await self._parts.recorder.record(
            self._claim,
            self._run,
            ending,
            own_policy=self._entry.options.retry,
            effects=effects,
            finish=self._finish,
        )

    def cancel(self) -> None:
        """End it since somebody asked to."""
        # What the claim says of the run is older than that.
        self._run = dataclasses.replace(self._run, cancel_requested_at=self._parts.store.now())
        self.stop(Reason.CANCELLED, "was cancelled while it ran", grace_s=self._parts.settings.runner.stop_grace_s)

    def stop(self, reason: Reason, why: str, *, grace_s: float) -> None:
        """Decide how it ends, unless that is decided: SIGTERM, after `grace_s` seconds SIGKILL to all of it."""
        if self._decision is not None or self._response is not None:
            return
        self._decision = Decision(reason=reason, why=why)
        self._parking.end()
        self._time.pause()
        if self._confined is not None:
            self._end(self._confined, grace_s)

    @property
    def _response(self) -> Response | None:
        return None if self._conversation is None else self._conversation.response

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
            secrets = await self._read_secrets()
            confined = await self._parts.relauncher.launch(self._entry.spec, self._lease)
        except (SandboxError, SecretError, OSError) as error:
            return self._unlaunched(error)
        self._confined = confined
        self._parking.begin(confined)
        confined.watch_network(self._logbook.mark)
        if self._decision is not None:
            confined.kill()
        reader = OutputReader(confined, self._logbook, idle_s=_OUTPUT_IDLE_S)
        self._conversation = conversation = Conversation(
            self._parts.store,
            self._claim,
            confined,
            self._calls,
            self._logbook,
            limits=self._parts.settings.limits,
            mask=self._mask,
        )
        memory_watch = asyncio.create_task(self._watch_memory(confined))
        self._time.run()
        try:
            await conversation.hold(self._start_frame(secrets), on_silence=self._time.pause)
        finally:
            memory_watch.cancel()
            outcome = await self._bury(confined, reader)
        if isinstance(outcome, SandboxError):
            if self._response is None:
                return self._unlaunched(outcome)
            outcome = Outcome.unseen(self._parts.relauncher.walls)
        return self._conclude(outcome, conversation.fault)

    async def _bury(self, confined: Confined, reader: OutputReader) -> Outcome | SandboxError:
        """Kill what is left of it, and return how it ended once nothing of it is alive."""
        self._parking.end()
        self._time.pause()
        confined.kill()
        if self._killing is not None:
            self._killing.cancel()
        try:
            return await confined.wait()
        except SandboxError as error:
            return error
        finally:
            await reader.finish()

    def _unlaunched(self, error: Exception) -> Ending:
        if self._lease is not None and self._lease.is_over and self._confined is None:
            self._decision = Decision(
                reason=Reason.DRAINED, why="was given back: its node lost its lease before it began"
            )
        why = f"could not be executed by this node, through no fault of the task: {error}"
        _logger.error("attempt %d of run %s %s", self._claim.attempt, self._run.id, why)
        decision = self._decision or Decision(reason=Reason.LOST, why=why)
        return Ending(
            reason=decision.reason, why=decision.why, finished_at=self._parts.store.now(), code=self._entry.code
        )

    def _conclude(self, outcome: Outcome, fault: str | None) -> Ending:
        # A response that came after a decision, from a task that was being stopped, does not change it.
        response = self._response if self._decision is None else None
        limit, kept = self._memory()
        reason, why = judge(response, self._decision, outcome, fault, limit, kept_bytes=kept)
        return Ending(
            reason=reason,
            why=why,
            finished_at=self._parts.store.now(),
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
        await confined.memory_killed()
        self.stop(Reason.OUT_OF_MEMORY, killed_for_memory(*self._memory()), grace_s=0)

    def _memory(self) -> tuple[int, int]:
        """Its limit, and what it has kept of that, or 0 where it has given back nothing."""
        own, now = self._entry.options.memory_bytes, self._parking.limit_bytes
        return own, now if now < own else 0

    async def _read_secrets(self) -> dict[str, str]:
        task, origin, names = self._run.task, self._entry.origin, self._entry.options.secrets
        if not names:
            return {}

        def read() -> dict[str, str]:
            secrets = self._parts.settings.secrets.read(task, origin, names)
            self._mask.learn(secrets)
            return secrets

        return await asyncio.to_thread(read)  # their disk may be slow

    def _start_frame(self, secrets: dict[str, str]) -> dict[str, Any]:
        run, limits, network = self._run, self._parts.settings.limits, self._entry.options.network
        now_s = time.time()  # a task compares them with its machine's clock
        return {
            "type": "start",
            "module": self._entry.module,
            "function": self._entry.function,
            "parameters": embedded(self._claim.parameters),
            "network": network if isinstance(network, bool) else list(network),
            "limits": {
                "parameters_bytes": limits.parameters_bytes,
                "result_bytes": limits.result_bytes,
                "values": MOST_VALUES,
            },
            "context": {
                "run": run.id,
                "root": run.root or run.id,
                "attempt": self._claim.attempt,
                "fence": self._claim.fence,
                "task": run.task,
                "queue": run.queue,
                "app": run.app,
                "deadline": None if self._timeout_s == float("inf") else now_s + self._timeout_s,
                "tags": list(run.tags),
                "secrets": secrets,
                "started_at": now_s,
            },
        }
