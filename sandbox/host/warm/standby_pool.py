"""The runner's side of the cells of one zygote: which inmates stand ready, and how those ended that were taken.

A cell serves one attempt after another (`cell`). One more than are in use is kept, so that the next attempt finds an
inmate that stands while the cell of the last one is cleared. Cells that were in use a moment ago are kept as well,
since to make one takes longer than an attempt.
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
from sandbox.host.attempt_io import Belongings
from sandbox.host.line import Line
from sandbox.protocol.control_messages import End, Ended
from sandbox.protocol.messages import CrowdedError, Message
from sandbox.protocol.standby_messages import give_group, hand_over

_AHEAD = 1
#: A cell is given the cgroup of its next inmate so long after the end of an attempt: it needs it not much earlier, and
#: whoever waits for that end goes on first.
_FURNISH_S = 0.001
#: So long, at least, one is kept that is not needed.
_KEEP_S = 5.0
#: So many inmates in a row that ended before they were needed are the zygote's fault.
_MOST_LOST = 5


Occupant = TypeVar("Occupant")


@dataclass(slots=True, eq=False)
class Inmate:
    """A confined process that waits for an attempt to become.

    Attributes:
        door: where it is given what is an attempt's own, and is told when it is that attempt; whoever takes the inmate
            closes it, and all that follow.
        pidfd: of it.
        listeners: of granted hosts.
        belongings: what is the attempt's own. It is in the cgroup already, and moves into the rest.
        kill_cell: kills everything in its cell, where it was killed and that did not end it.
        on_end: is called when everything of it is dead; `None` while nobody has taken it.
    """

    door: socket.socket
    pidfd: int
    listeners: list[int]
    belongings: Belongings
    kill_cell: Callable[[], None]
    on_end: Callable[[End], None] | None = None

    def move_in(self) -> None:
        """Give it what will be the attempt's own, unless it has that.

        Raises `LauncherError` if it is dead, or cannot be given anything now.
        """
        if not self.belongings.far:
            return
        try:
            hand_over(self.door, self.belongings.far)
        except OSError as error:
            crowded = isinstance(error, CrowdedError)
            raise LauncherError(str(error) if crowded else "the process that was prepared for it has died") from error
        self.belongings.close_far()

    def discard(self) -> None:
        """It is dead, and was never taken: close what it came with."""
        self.door.close()
        for descriptor in (self.pidfd, *self.listeners):
            os.close(descriptor)
        self.belongings.discard()


class Cells:
    """See the module.

    Args:
        line: to the warden, who makes them.
        on_misbehaviour: called with the reason when it is of no use to go on.
        provide: takes what an attempt will have. Raises `SetupError`.
        on_growth: called before there are more, with how many there will be. Raises `SetupError`.
    """

    def __init__(
        self,
        line: Line,
        on_misbehaviour: Callable[[str], None],
        provide: Callable[[], Belongings],
        on_growth: Callable[[int], None],
    ) -> None:
        self.line, self._misbehaved, self.provide, self._on_growth = line, on_misbehaviour, provide, on_growth
        self._cells: set[_Cell] = set()
        self._spare: deque[Inmate] = deque()
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[Inmate], Any]]] = deque()
        self.forks = 0  # inmates that ever stood
        self._lost = 0
        self._busiest = 0  # most that were wanted at once since the last look
        self._looking: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._cells)

    @property
    def waiting(self) -> int:
        """In how many an inmate waits."""
        return len(self._spare)

    @property
    def forking(self) -> int:
        """For how many an inmate may be on its way."""
        return sum(not cell.has_inmate for cell in self._cells)

    @property
    def is_wanted(self) -> bool:
        """Whether an attempt is in one, or waits for one."""
        return self._wanted() > 0

    def fault(self) -> str:
        """What inmates do that should wait, as the rest of "warming up, it …"; empty if they do nothing."""
        return "" if all(inmate.belongings.are_idle() for inmate in self._spare) else "left what does not wait"

    async def build_ahead(self) -> None:
        """Have as many cells built as there are too few.

        Raises:
            LauncherError: the zygote has ended.
            SetupError: it cannot be asked now, or what an attempt needs cannot be had.
        """
        free = [cell for cell in self._cells if cell.is_free]
        for cell in free:
            cell.furnish()
        for _ in range(len(free), len(self._waiting) + _AHEAD):
            self._on_growth(len(self._cells) + 1)
            cell = _Cell(self)
            self._cells.add(cell)
            cell.line.listen()
            try:
                await self.line.send({"build": True}, [cell.line.far_end.fileno()])
            finally:
                cell.line.far_end.close()
            cell.furnish()

    async def take(self, occupy: Callable[[Inmate], Occupant]) -> Occupant:
        """Wait for an inmate that stands; `occupy` it, at once, which sets its `on_end`; and return what that gives.

        Who is cancelled meanwhile has occupied none, unless `occupy` was called.

        Raises:
            SetupError: it could not be made to stand.
            LauncherError: the zygote has ended.
        """
        coming: asyncio.Future[Occupant] = asyncio.get_running_loop().create_future()
        self._waiting.append((coming, occupy))
        self._busiest = max(self._busiest, self._wanted())
        self._settle()
        try:
            await self.build_ahead()
        except SandboxError:
            if not coming.done():
                coming.cancel()
                raise  # if it is, that was for those who come later
        return await coming

    def leave(self) -> None:
        """No inmate can be forked any more: only what is in use goes on."""
        for cell in list(self._cells):
            if cell.is_used:
                cell.is_last = True
            else:
                cell.leave()
        self._fail(LauncherError("the zygote has ended"), most=len(self._waiting))

    def close(self) -> None:
        """All that was in the cells is dead: hear what they had to say before, and let go of all."""
        for cell in list(self._cells):
            cell.line.drain()
            cell.release()
        if self._looking is not None:
            self._looking.cancel()
        self._fail(LauncherError("the zygote has ended"), most=len(self._waiting))

    # --- for the cells -----------------------------------------------------------------------------------------------

    def stands(self, inmate: Inmate) -> None:
        """It waits to be taken, and moves in meanwhile."""
        self.forks += 1
        with contextlib.suppress(SandboxError):  # who takes it tries again, and hears of it
            inmate.move_in()
        self._spare.append(inmate)
        self._settle()

    def ended(self, inmate: Inmate, end: End) -> None:
        """Everything of it is dead."""
        if inmate.on_end is not None:
            self._lost = 0
            inmate.on_end(end)
            self._look_later()
            return
        self.withdraw(inmate)
        inmate.discard()
        self._count_as_lost()

    def withdraw(self, inmate: Inmate) -> None:
        """Nobody will take it."""
        if inmate in self._spare:
            self._spare.remove(inmate)

    def failed(self, error: SetupError) -> None:
        """An inmate, or a whole cell, did not come to stand."""
        self._fail(error)
        self._count_as_lost()

    def gone(self, cell: _Cell) -> None:
        """A cell, and all that was in it, has ended."""
        self._cells.discard(cell)
        if sum(each.is_free for each in self._cells) < len(self._waiting):
            self._fail(LauncherError("its cell has died"))

    def _wanted(self) -> int:
        """So many are in use, or waited for."""
        return sum(cell.is_used for cell in self._cells) + len(self._waiting)

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_KEEP_S, self._look)

    def _look(self) -> None:
        """Let go of what was not needed since the last look."""
        self._looking = None
        free = [cell for cell in self._cells if cell.is_free]
        used = sum(cell.is_used for cell in self._cells)  # those that are on their way out are neither
        for cell in free[: max(0, used + len(free) - self._busiest - _AHEAD)]:
            cell.leave()
        self._busiest = self._wanted()
        if len(self._cells) > self._busiest + _AHEAD:
            self._look_later()

    def _count_as_lost(self) -> None:
        self._lost += 1
        if self._lost >= _MOST_LOST:
            self._misbehaved("left what lets no attempt be prepared")

    def _settle(self) -> None:
        """Have the inmates that there are occupied by those who wait."""
        while self._spare and self._waiting:
            coming, occupy = self._waiting.popleft()
            if coming.done():
                continue  # who waited has been cancelled
            inmate = self._spare.popleft()
            try:
                inmate.move_in()
                coming.set_result(occupy(inmate))
            except Exception as error:
                coming.set_exception(error)
                if inmate.on_end is None:
                    self._spare.appendleft(inmate)

    def _fail(self, error: SetupError | LauncherError, most: int = 1) -> None:
        for _ in range(min(most, len(self._waiting))):
            coming, _ = self._waiting.popleft()
            if not coming.done():
                coming.set_exception(error)


class _Cell:
    """One cell, by its line. What it says can be relied on."""

    def __init__(self, owner: Cells) -> None:
        self._owner = owner
        self.line = Line(self._hear, self.leave)
        self._pidfd = -1
        self._inmate: Inmate | None = None
        self._belongings: Belongings | None = None  # of the next inmate
        self._is_left = False
        self.is_last = False

    @property
    def is_used(self) -> bool:
        """Whether an attempt is in it."""
        return self._inmate is not None and self._inmate.on_end is not None

    @property
    def has_inmate(self) -> bool:
        """Whether the next one, or the attempt that it became, has its own cgroup."""
        return self._inmate is not None

    @property
    def is_free(self) -> bool:
        """Whether an inmate that nobody has taken is in it, or will be."""
        return not self.is_used and not self._is_left

    def furnish(self) -> None:
        """Give it the cgroup of its next inmate, unless it has that.

        Raises `SetupError` if there is none to be had; where the cell is dead, that is heard from elsewhere.
        """
        if self._belongings is not None or self._inmate is not None or self._is_left:
            return
        belongings = self._owner.provide()
        try:
            give_group(self.line.send_now, belongings.procs)
        except OSError as error:
            belongings.discard()
            if not isinstance(error, ConnectionError):
                raise SetupError.caused_by("cgroup", error) from error
        else:
            self._belongings = belongings

    def _hear(self, message: Message, descriptors: list[int]) -> None:
        match message:
            case {"cell": True} if len(descriptors) == 1:
                self._pidfd = descriptors[0]
            case {"standing": True} if len(descriptors) >= 2 and self._belongings is not None:
                door, pidfd, *listeners = descriptors
                self._inmate = Inmate(socket.socket(fileno=door), pidfd, listeners, self._belongings, self._kill)
                self._belongings = None
                self._owner.stands(self._inmate)
            case {"ended": True, "exit_code": code, "signal": number, "cpu_time_s": cpu, "peak_bytes": peak}:
                self._end(End(cpu, peak, Ended(code, number)))
            case {"step": str(step), "reason": str(reason), "errno": errno}:
                self._owner.failed(SetupError(step, reason, errno))
            case _:
                raise LauncherError("a cell said what no cell says, or there is no room for its descriptors")

    def leave(self) -> None:
        """Have it end, if it does not by itself. That is done when all in it is dead."""
        self._let_go()
        if self._pidfd >= 0:
            asyncio.get_running_loop().add_reader(self._pidfd, self._close)
        else:
            self.release()

    def release(self) -> None:
        """All in it is dead; of an attempt it is said elsewhere. Releasing twice does no harm."""
        self._let_go()
        if self._inmate is not None and not self.is_used:
            self._inmate.discard()
            self._inmate = None
        if self._belongings is not None:
            self._belongings.discard()
            self._belongings = None
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._owner.gone(self)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _close(self) -> None:
        """All in it is dead, an attempt too; if the warden is as well, that is said of all its attempts together."""
        if self._inmate is not None and self._inmate.on_end is not None and not self._owner.line.is_over():
            self._inmate.on_end(End(error=LauncherError("the process that held its namespaces has died")))
            self._inmate = None
        self.release()

    def _let_go(self) -> None:
        self._is_left = True
        self.line.close()
        if self._inmate is not None:
            self._owner.withdraw(self._inmate)

    def _end(self, end: End) -> None:
        inmate, self._inmate = self._inmate, None
        if inmate is None:
            return
        # Where hosts were granted it serves only once, and without a zygote there is nothing more to come.
        self._is_left = self._is_left or bool(inmate.listeners) or self.is_last
        self._owner.ended(inmate, end)
        if not self._is_left:
            asyncio.get_running_loop().call_later(_FURNISH_S, self._furnish_ahead)

    def _furnish_ahead(self) -> None:
        with contextlib.suppress(SandboxError):  # who waits for an attempt tries again, and hears of it
            self.furnish()
