"""The runner's side of the cells of one zygote: which inmates stand ready, and how those ended that were taken.

A cell serves one attempt after another (`cell`). One more than are in use is kept, so that the next attempt finds an
inmate that stands while the cell of the last one is cleared. Cells that were in use a moment ago are kept as well,
since to make one takes longer than an attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sandbox.belongings import Belongings
from sandbox.door import hand_over
from sandbox.errors import LauncherError, SandboxError, SetupError
from sandbox.line import Line
from sandbox.messages import CrowdedError, Message
from sandbox.report import End, Ended

_AHEAD = 1
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
        on_end: is called when everything of it is dead; `None` while nobody has taken it.
    """

    door: socket.socket
    pidfd: int
    listeners: list[int]
    on_end: Callable[[End], None] | None = None
    _belongings: Belongings | None = None

    def move_in(self, provide: Callable[[], Belongings]) -> None:
        """Give it what will be the attempt's own, unless it has that.

        Raises:
            SetupError: that cannot be had.
            LauncherError: it is dead, or cannot be given anything now.
        """
        if self._belongings is not None:
            return
        belongings = provide()
        try:
            hand_over(self.door, [*belongings.far, *belongings.procs])
        except OSError as error:
            belongings.discard()
            crowded = isinstance(error, CrowdedError)
            raise LauncherError(str(error) if crowded else "the process that was prepared for it has died") from error
        belongings.close_far()
        self._belongings = belongings

    def take_belongings(self) -> Belongings:
        """What it moved in with is the attempt's, and no more closed with it."""
        assert self._belongings is not None, "it has moved in"
        taken, self._belongings = self._belongings, None
        return taken

    def discard(self) -> None:
        """It is dead, and was never taken: close what it came with."""
        self.door.close()
        for descriptor in (self.pidfd, *self.listeners):
            os.close(descriptor)
        if self._belongings is not None:
            self._belongings.discard()


class Cells:
    """See the module.

    Args:
        line: to the warden, who makes them.
        on_misbehaviour: called when it is of no use to go on.
        provide: takes what an attempt will have. Raises `SetupError`.
    """

    def __init__(self, line: Line, on_misbehaviour: Callable[[], None], provide: Callable[[], Belongings]) -> None:
        self._line, self.misbehaved, self._provide = line, on_misbehaviour, provide
        self._cells: set[_Cell] = set()
        self._spare: deque[Inmate] = deque()
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[Inmate], Any]]] = deque()
        self._lost = 0
        self._busiest = 0  # most that were wanted at once since the last look
        self._looking: asyncio.TimerHandle | None = None

    async def build_ahead(self) -> None:
        """Have as many cells built as there are too few.

        Raises:
            LauncherError: the zygote has ended.
            SetupError: it cannot be asked now.
        """
        free = sum(cell.is_free for cell in self._cells)
        for _ in range(free, len(self._waiting) + _AHEAD):
            cell = _Cell(self)
            self._cells.add(cell)
            cell.line.listen()
            try:
                await self._line.send({"build": True}, [cell.line.far_end.fileno()])
            finally:
                cell.line.far_end.close()

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
        except (LauncherError, SetupError):
            if not coming.done():
                coming.cancel()
                raise  # if it is, that was for those who come later
        return await coming

    def close(self) -> None:
        """The zygote, and all that was in the cells, is dead: hear what they had to say before, and let go of all."""
        for cell in list(self._cells):
            cell.line.drain()
            cell.close()
        if self._looking is not None:
            self._looking.cancel()
        self._fail(LauncherError("the zygote has ended"), most=len(self._waiting))

    # --- for the cells -----------------------------------------------------------------------------------------------

    def stands(self, inmate: Inmate) -> None:
        """It waits to be taken, and moves in meanwhile."""
        with contextlib.suppress(SandboxError):  # who takes it tries again, and hears of it
            inmate.move_in(self._provide)
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
        for cell in free[: max(0, len(self._cells) - self._busiest - _AHEAD)]:
            cell.leave()
        self._busiest = self._wanted()
        if len(self._cells) > self._busiest + _AHEAD:
            self._look_later()

    def _count_as_lost(self) -> None:
        self._lost += 1
        if self._lost >= _MOST_LOST:
            self.misbehaved()

    def _settle(self) -> None:
        """Have the inmates that there are occupied by those who wait."""
        while self._spare and self._waiting:
            coming, occupy = self._waiting.popleft()
            if coming.done():
                continue  # who waited has been cancelled
            inmate = self._spare.popleft()
            try:
                inmate.move_in(self._provide)
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
        self._is_left = False

    @property
    def is_used(self) -> bool:
        """Whether an attempt is in it."""
        return self._inmate is not None and self._inmate.on_end is not None

    @property
    def is_free(self) -> bool:
        """Whether an inmate that nobody has taken is in it, or will be."""
        return not self.is_used and not self._is_left

    def _hear(self, message: Message, descriptors: list[int]) -> None:
        match message:
            case {"cell": True} if len(descriptors) == 1:
                self._pidfd = descriptors[0]
            case {"standing": True} if len(descriptors) >= 2:
                door, pidfd, *listeners = descriptors
                self._inmate = Inmate(socket.socket(fileno=door), pidfd, listeners)
                self._owner.stands(self._inmate)
            case {"ended": True, "exit_code": code, "signal": signal, "cpu_time_s": cpu, "peak_bytes": peak}:
                self._end(End(cpu, peak, Ended(code, signal)))
            case {"step": str(step), "reason": str(reason), "errno": errno}:
                self._owner.failed(SetupError(step, reason, errno))
            case _:
                raise LauncherError("a cell said what no cell says, or there is no room for its descriptors")

    def leave(self) -> None:
        """Have it end, if it does not by itself. That is done when all in it is dead."""
        if self.is_used:
            self._owner.misbehaved()  # it never ends by itself before its attempt; with the zygote, that ends for sure
        self._let_go()
        if self._pidfd >= 0:
            asyncio.get_running_loop().add_reader(self._pidfd, self.close)
        else:
            self._owner.gone(self)

    def close(self) -> None:
        """All in it is dead; of an attempt it is said when its zygote is. Closing twice does no harm."""
        self._let_go()
        if self._inmate is not None and not self.is_used:
            self._inmate.discard()
            self._inmate = None
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._owner.gone(self)

    def _let_go(self) -> None:
        self._is_left = True
        self.line.close()
        if self._inmate is not None:
            self._owner.withdraw(self._inmate)

    def _end(self, end: End) -> None:
        inmate, self._inmate = self._inmate, None
        if inmate is not None:
            self._is_left = self._is_left or bool(inmate.listeners)  # where hosts were granted it serves only once
            self._owner.ended(inmate, end)
