"""What an attempt gives back while all that it does is wait for other runs: its time, its slot, and unused memory.

Waiting gives back only what is not used. Whether an attempt that waits does nothing else (another thread of it may work
on) is told by its cpu, which is looked at ever less often while it stays idle:

    waits ── idle ──► parked: no time, no slot, of memory what it uses and a little ── a wait is over ──► has all again
      ▲                 │
      └──── busy ───────┘  takes its slot and its time back, until it is idle for longer than before

What it used of the cpu while it was parked counts as time all the same. Its limit on memory is lowered to what counts,
so that it cannot grow into what others were given; it is raised before an answer is sent. An attempt that waits several
times at once resumes for each answer, since it will work on it, and is parked again once it is idle.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from runner.engine.attempts.timelimit import TimeLimit
from runner.engine.nodes.capacity import Capacity
from sandbox import Confined

_LOOK_S = (0.01, 1.0)  # first and longest pause between two looks
_CALM_S = (0.0, 16.0)  # how long it must be idle to be parked: at first, and at most after it was found busy
_ANSWERED_S = 0.05  # the same where it has just been given an answer, and goes on to wait for others
_BUSY = 0.02  # the share of a core from which on it is busy: on a machine with much to do, all that it may get
_NOISE_S = 0.003  # what sending the call to wait costs
_FREE = 0.01  # the share of a core that waiting takes, and that does not count
_GROWTH_BYTES = 8 << 20


class Parking:
    """The waiting of one attempt."""

    def __init__(
        self, capacity: Capacity, time: TimeLimit, *, token: str, memory_bytes: int, cpus: float | None
    ) -> None:
        """`token` is its key in `capacity`; `memory_bytes` and `cpus` are its limits."""
        self._capacity, self._time, self._token = capacity, time, token
        self._memory_bytes = self._limit_bytes = memory_bytes
        self._cores = min(1.0, cpus or 1.0)
        self._confined: Confined | None = None
        self._waits = 0
        self._changing = asyncio.Lock()
        self._is_parked = False
        self._is_over = False
        self._calm_s = _CALM_S[0]
        self._looking: asyncio.Task[None] | None = None
        self._seen_cpu_s = self._seen_at = 0.0

    @property
    def limit_bytes(self) -> int:
        """The limit on its memory at this moment: lower than its own while it is parked."""
        return self._limit_bytes

    @property
    def _has_given_back(self) -> bool:
        return self._is_parked or self._limit_bytes < self._memory_bytes

    def begin(self, confined: Confined) -> None:
        """The attempt has been launched."""
        self._confined = confined

    def end(self) -> None:
        """The attempt is dead, or about to be: nothing is given back or taken any more."""
        self._is_over = True
        if self._looking is not None:
            self._looking.cancel()

    @contextlib.asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Around one wait; at the end the attempt has again what it gave back, however the wait ended."""
        self._waits += 1
        self._look_on()
        try:
            yield
        except Exception:
            await self._end_wait()
            raise
        except BaseException:  # cancelled: there is no more attempt that could go on
            self._waits -= 1
            raise
        else:
            await self._end_wait()

    async def _end_wait(self) -> None:
        self._waits -= 1
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        async with self._changing:
            if self._has_given_back:
                await self._resume()
        self._look_on(_ANSWERED_S)

    def _look_on(self, calm_s: float = 0.0) -> None:
        if self._waits and self._looking is None and not self._is_over:
            self._looking = asyncio.create_task(self._look(max(calm_s, self._calm_s)))

    async def _look(self, calm_s: float) -> None:
        """Park and take back, as its cpu tells, until the waiting is over."""
        pause_s, idle_s = _LOOK_S[0], 0.0
        async with self._changing:
            self._look_once()
        while True:
            await asyncio.sleep(pause_s)
            async with self._changing:
                is_busy, passed_s = self._look_once()
                if is_busy:
                    calm_s = max(calm_s, self._calm_s)
                    pause_s, idle_s = min(2 * pause_s, 10 * _LOOK_S[0]), 0.0
                    continue
                idle_s += passed_s
                if not self._is_parked and idle_s >= calm_s:
                    await self._park()
            pause_s = min(2 * pause_s, _LOOK_S[1])

    def _look_once(self) -> tuple[bool, float]:
        """Count what it used since the last look; whether it works while it waits, and how long ago that look was."""
        assert self._confined is not None
        now = asyncio.get_running_loop().time()
        passed_s = now - self._seen_at
        try:
            cpu_s = self._confined.cpu_time_s()
        except OSError:
            cpu_s = self._seen_cpu_s + passed_s  # what cannot be seen is taken for work
        used_s = max(0.0, cpu_s - self._seen_cpu_s)
        self._seen_cpu_s, self._seen_at = cpu_s, now
        is_busy = used_s > self._cores * _BUSY * passed_s + _NOISE_S
        if self._is_parked and not self._is_over:
            self._time.spend(min(passed_s, max(0.0, used_s / self._cores - _FREE * passed_s)))
        if is_busy and not self._is_over and self._has_given_back:
            self._take_back()
        return is_busy, passed_s

    async def _park(self) -> None:
        assert self._confined is not None
        limit = min(self._limit_bytes, await self._confined.measure_memory() + _GROWTH_BYTES)
        if self._is_over or not self._capacity.may_park:
            return
        if self._confined.limit_memory(limit):
            self._limit_bytes = limit
        self._capacity.park(self._token, self._limit_bytes)
        self._is_parked = True
        self._time.pause()

    def _take_back(self) -> None:
        """It works while it waits: that takes a slot and time, whether a slot is free or not."""
        has_memory = self._capacity.take_back(self._token)
        if self._is_parked:
            self._is_parked = False
            self._calm_s = min(max(2 * self._calm_s, 10 * _LOOK_S[0]), _CALM_S[1])
            self._time.run()
        if has_memory:
            self._raise_limit()

    async def _resume(self) -> None:
        """Give it all again, once there is room for that."""
        resuming = asyncio.ensure_future(self._capacity.resume(self._token))
        try:
            while not resuming.done():  # the place in line is no place to work in, either
                await asyncio.wait({resuming}, timeout=_LOOK_S[1])
                self._look_once()
            await resuming
        finally:
            resuming.cancel()
        self._is_parked = False
        self._raise_limit()
        if not self._is_over:
            self._time.run()

    def _raise_limit(self) -> None:
        assert self._confined is not None
        self._confined.limit_memory(self._memory_bytes)
        self._limit_bytes = self._memory_bytes
