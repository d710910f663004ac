"""The runner's side of the inits of one zygote: which standbys are ready, and how those that were taken ended.

An init serves one attempt after another (`inner.warm.standby_init`). One init more than are in use is kept, so that the
next attempt finds a standby while the init of the last attempt is cleared. Inits that were in use a moment ago are kept
as well, since making one takes longer than an attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sandbox.errors import LauncherError, SandboxError, SetupError
from sandbox.host.attempt_io import AttemptIO
from sandbox.host.links.line import Line
from sandbox.protocol.control_messages import End, Ended
from sandbox.protocol.messages import CrowdedError, Message
from sandbox.protocol.standby_messages import give_group, hand_over

_AHEAD = 1
#: An init gets the cgroup of its next standby so long after the end of an attempt. It needs it no earlier, and whoever
#: waits for that end goes on first.
_GIVE_CGROUP_AFTER_S = 0.001
#: An init that is not needed is kept for at least so long.
_KEEP_S = 5.0
#: If so many standbys in a row ended before they were needed, that is the zygote's fault.
_MOST_LOST = 5


Begun = TypeVar("Begun")


@dataclass(slots=True, eq=False)
class StandbyHandle:
    """One standby: a confined process that waits to become an attempt.

    Attributes:
        control: the socket by which it gets its channel and pipes, and is told that it is the attempt now. Whoever
            takes the standby closes this and all that follow.
        pidfd: of the process.
        listeners: of granted hosts.
        attempt_io: channel, pipes and cgroup. The process is in the cgroup already, and is given the rest.
        kill_init: kills everything in its init, for when killing the standby did not end it.
        on_end: called when everything of it is dead; `None` while nobody has taken it.
    """

    control: socket.socket
    pidfd: int
    listeners: list[int]
    attempt_io: AttemptIO
    kill_init: Callable[[], None]
    on_end: Callable[[End], None] | None = None

    def give_io(self) -> None:
        """Give it its channel and pipes, unless it has them. Raises `LauncherError` if that is not possible now."""
        if not self.attempt_io.far:
            return
        try:
            hand_over(self.control, self.attempt_io.far)
        except OSError as error:
            crowded = isinstance(error, CrowdedError)
            raise LauncherError(str(error) if crowded else "the process that was prepared for it has died") from error
        self.attempt_io.close_far()

    def discard(self) -> None:
        """It is dead, and nobody took it: close everything."""
        self.control.close()
        for descriptor in (self.pidfd, *self.listeners):
            os.close(descriptor)
        self.attempt_io.discard()


class StandbyPool:
    """The inits of one zygote, and the standbys in them.

    Args:
        line: to the zygote supervisor, which makes the inits.
        on_misbehaviour: called with the reason when standbys keep ending before they are used.
        provide: makes the channel, pipes and cgroup of an attempt. Raises `SetupError`.
        on_growth: called before an init is made, with how many there will be. Raises `SetupError`.
    """

    def __init__(
        self,
        line: Line,
        on_misbehaviour: Callable[[str], None],
        provide: Callable[[], AttemptIO],
        on_growth: Callable[[int], None],
    ) -> None:
        self.line, self._misbehaved, self.provide, self._on_growth = line, on_misbehaviour, provide, on_growth
        self._inits: set[_InitHandle] = set()
        self._spare: deque[StandbyHandle] = deque()
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[StandbyHandle], Any]]] = deque()
        self.forks = 0  # standbys that ever became ready
        self._lost = 0
        self._busiest = 0  # most that were wanted at once since the last look
        self._looking: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """How many inits there are."""
        return len(self._inits)

    @property
    def waiting(self) -> int:
        """How many standbys wait."""
        return len(self._spare)

    @property
    def forking(self) -> int:
        """How many standbys may be forked but not ready."""
        return sum(not init.has_standby for init in self._inits)

    @property
    def is_wanted(self) -> bool:
        """Whether an attempt is in an init, or waits for a standby."""
        return self._wanted() > 0

    def fault(self) -> str:
        """Why standbys are at fault, as the rest of "warming up, it …"; empty if all of them only wait."""
        return "" if all(standby.attempt_io.is_idle() for standby in self._spare) else "left what does not wait"

    async def build_ahead(self) -> None:
        """Have inits made until there are enough for those who wait, and one more.

        Raises:
            LauncherError: the zygote has ended.
            SetupError: the zygote supervisor cannot be asked now, or what an attempt needs is not available.
        """
        free = [init for init in self._inits if init.is_free]
        for init in free:
            init.give_cgroup()
        for _ in range(len(free), len(self._waiting) + _AHEAD):
            self._on_growth(len(self._inits) + 1)
            init = _InitHandle(self)
            self._inits.add(init)
            init.line.listen()
            try:
                await self.line.send({"build": True}, [init.line.far_end.fileno()])
            finally:
                init.line.far_end.close()
            init.give_cgroup()

    async def take(self, begin: Callable[[StandbyHandle], Begun]) -> Begun:
        """Wait for a standby that is ready, call `begin` with it at once, and return what that returns.

        `begin` sets the standby's `on_end`. A caller that is cancelled before `begin` is called has taken no standby.

        Raises:
            SetupError: no standby could be made ready.
            LauncherError: the zygote has ended.
        """
        coming: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()
        self._waiting.append((coming, begin))
        self._busiest = max(self._busiest, self._wanted())
        self._settle()
        try:
            await self.build_ahead()
        except SandboxError:
            if not coming.done():
                coming.cancel()
                raise  # if it is done, what failed was for later attempts
        return await coming

    def leave(self) -> None:
        """The zygote forks no more standbys: only inits in use go on."""
        for init in list(self._inits):
            if init.is_used:
                init.is_last = True
            else:
                init.leave()
        self._fail(LauncherError("the zygote has ended"), most=len(self._waiting))

    def close(self) -> None:
        """Everything in the inits is dead: take in their last messages, and close everything."""
        for init in list(self._inits):
            init.line.drain()
            init.release()
        if self._looking is not None:
            self._looking.cancel()
        self._fail(LauncherError("the zygote has ended"), most=len(self._waiting))

    # --- for the inits -----------------------------------------------------------------------------------------------

    def stands(self, standby: StandbyHandle) -> None:
        """A standby is ready: give it its channel and pipes while it waits to be taken."""
        self.forks += 1
        with contextlib.suppress(SandboxError):  # whoever takes it tries again, and gets the error
            standby.give_io()
        self._spare.append(standby)
        self._settle()

    def ended(self, standby: StandbyHandle, end: End) -> None:
        """Everything of a standby is dead."""
        if standby.on_end is not None:
            self._lost = 0
            standby.on_end(end)
            self._look_later()
            return
        self.withdraw(standby)
        standby.discard()
        self._count_as_lost()

    def withdraw(self, standby: StandbyHandle) -> None:
        """Let nobody take this standby."""
        if standby in self._spare:
            self._spare.remove(standby)

    def failed(self, error: SetupError) -> None:
        """A standby, or a whole init, could not be made ready."""
        self._fail(error)
        self._count_as_lost()

    def gone(self, init: _InitHandle) -> None:
        """An init, and all that was in it, has ended."""
        self._inits.discard(init)
        if sum(each.is_free for each in self._inits) < len(self._waiting):
            self._fail(LauncherError("its init has died"))

    def _wanted(self) -> int:
        """How many inits are in use or waited for."""
        return sum(init.is_used for init in self._inits) + len(self._waiting)

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_KEEP_S, self._look)

    def _look(self) -> None:
        """Let inits end that were not needed since the last look."""
        self._looking = None
        free = [init for init in self._inits if init.is_free]
        used = sum(init.is_used for init in self._inits)  # those that are on their way out are neither
        for init in free[: max(0, used + len(free) - self._busiest - _AHEAD)]:
            init.leave()
        self._busiest = self._wanted()
        if len(self._inits) > self._busiest + _AHEAD:
            self._look_later()

    def _count_as_lost(self) -> None:
        self._lost += 1
        if self._lost >= _MOST_LOST:
            self._misbehaved("left what lets no attempt be prepared")

    def _settle(self) -> None:
        """Give the standbys that are ready to those who wait."""
        while self._spare and self._waiting:
            coming, begin = self._waiting.popleft()
            if coming.done():
                continue  # the caller was cancelled
            standby = self._spare.popleft()
            try:
                standby.give_io()
                coming.set_result(begin(standby))
            except Exception as error:
                coming.set_exception(error)
                if standby.on_end is None:
                    self._spare.appendleft(standby)

    def _fail(self, error: SetupError | LauncherError, most: int = 1) -> None:
        for _ in range(min(most, len(self._waiting))):
            coming, _ = self._waiting.popleft()
            if not coming.done():
                coming.set_exception(error)


class _InitHandle:
    """One init as the runner holds it, by its line. An init is trusted."""

    def __init__(self, owner: StandbyPool) -> None:
        self._owner = owner
        self.line = Line(self._hear, self.leave)
        self._pidfd = -1
        self._standby: StandbyHandle | None = None
        self._attempt_io: AttemptIO | None = None  # of the next standby
        self._is_left = False
        self.is_last = False

    @property
    def is_used(self) -> bool:
        """Whether an attempt is in it."""
        return self._standby is not None and self._standby.on_end is not None

    @property
    def has_standby(self) -> bool:
        """Whether its next standby, or the attempt that this became, is in its own cgroup."""
        return self._standby is not None

    @property
    def is_free(self) -> bool:
        """Whether it has, or will have, a standby that nobody has taken."""
        return not self.is_used and not self._is_left

    def give_cgroup(self) -> None:
        """Give it the cgroup of its next standby, unless it has that.

        Raises `SetupError` if no cgroup is available. If the init is dead, nothing is raised: its line tells.
        """
        if self._attempt_io is not None or self._standby is not None or self._is_left:
            return
        attempt_io = self._owner.provide()
        try:
            give_group(self.line.send_now, attempt_io.procs)
        except OSError as error:
            attempt_io.discard()
            if not isinstance(error, ConnectionError):
                raise SetupError.caused_by("cgroup", error) from error
        else:
            self._attempt_io = attempt_io

    def _hear(self, message: Message, descriptors: list[int]) -> None:
        match message:
            case {"init": True} if len(descriptors) == 1:
                self._pidfd = descriptors[0]
            case {"standing": True} if len(descriptors) >= 2 and self._attempt_io is not None:
                control, pidfd, *listeners = descriptors
                self._standby = StandbyHandle(
                    socket.socket(fileno=control), pidfd, listeners, self._attempt_io, self._kill
                )
                self._attempt_io = None
                self._owner.stands(self._standby)
            case {"ended": True, "exit_code": code, "signal": number, "cpu_time_s": cpu, "peak_bytes": peak}:
                self._end(End(cpu, peak, Ended(code, number)))
            case {"step": str(step), "reason": str(reason), "errno": errno}:
                self._owner.failed(SetupError(step, reason, errno))
            case _:
                raise LauncherError("an init sent an unknown message, or no descriptors are left to receive it")

    def leave(self) -> None:
        """Have it end; released once all in it is dead."""
        self._let_go()
        if self._pidfd >= 0:
            asyncio.get_running_loop().add_reader(self._pidfd, self._close)
        else:
            self.release()

    def release(self) -> None:
        """All in it is dead: close everything. The end of an attempt is reported elsewhere. Twice does no harm."""
        self._let_go()
        if self._standby is not None and not self.is_used:
            self._standby.discard()
            self._standby = None
        if self._attempt_io is not None:
            self._attempt_io.discard()
            self._attempt_io = None
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._owner.gone(self)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _close(self) -> None:
        """All in it is dead: report the end of an attempt, unless the zygote supervisor is dead too, which ends all."""
        if self._standby is not None and self._standby.on_end is not None and not self._owner.line.is_over():
            self._standby.on_end(End(error=LauncherError("the process that held its namespaces has died")))
            self._standby = None
        self.release()

    def _let_go(self) -> None:
        self._is_left = True
        self.line.close()
        if self._standby is not None:
            self._owner.withdraw(self._standby)

    def _end(self, end: End) -> None:
        standby, self._standby = self._standby, None
        if standby is None:
            return
        # With granted hosts an init serves once only, and without a zygote no standby follows.
        self._is_left = self._is_left or bool(standby.listeners) or self.is_last
        self._owner.ended(standby, end)
        if not self._is_left:
            asyncio.get_running_loop().call_later(_GIVE_CGROUP_AFTER_S, self._give_cgroup_ahead)

    def _give_cgroup_ahead(self) -> None:
        with contextlib.suppress(SandboxError):  # whoever waits for an attempt tries again, and gets the error
            self.give_cgroup()
