"""One confined process as the runner holds it: its channel, its output, the means to end it, and how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sandbox.endpoint import MOST
from sandbox.errors import LauncherError, SandboxError, SetupError, WireError, printable
from sandbox.host.cgroups.cgroup import Group
from sandbox.host.granted_hosts import GrantedHosts
from sandbox.host.links.frame_stream import FrameStream
from sandbox.host.links.line import read_pid
from sandbox.host.tree_memory import cpu_time_s
from sandbox.host.watchdog import Watched
from sandbox.outcome import Outcome
from sandbox.protocol.control_messages import MESSAGE_BYTES, TERMINATE, End, Ended, Listening, Standing, read
from sandbox.protocol.wire import FRAME_LIMIT

#: The kernel gives the alarm before it kills. It kills within this time or, if it finds memory after all, not at all.
#: Version 2 also gives one each time that it drops cached files at the limit, so kills are looked for once in this
#: time.
_KILL_PATIENCE_S = 1.0
_KILL_PAUSE_S = 0.005
#: The kernel keeps a pid namespace until its dead are reaped. In a zygote that depends on the modules that it imported.
_REAP_PATIENCE_S = 10.0
_COMPLAINT_CHARS = 300


class Confined:
    """A launched process and its tree. Made by `Sandbox.launch`; await `wait` in the end.

    Attributes:
        stdout: read end of its standard output, non-blocking; yours to read and to close.
        stderr: as `stdout`.
        limits_memory: whether the kernel limits the memory of the tree; if not, a watchdog does.
        walls: the level and the walls that stand around it, in one line.
        share: its share of the event loop, for all work that its messages cause.
        is_killed: whether it was decided here to kill it.
        pidfd: of its first process; -1 before it is known and after the end.
        hosts: the single hosts that it may connect to.
        watch: begins to watch the memory of the tree of this pid, and calls back when it passes its limit; set by the
            `Sandbox` where the kernel does not limit it.
        complaint: what a warm attempt reported of its start, escaped; empty if nothing. Not to be relied on: code of
            the spec had run in that process before.
        last_resort: what to do if it was killed and does not end; set by the `Sandbox`.
    """

    def __init__(
        self, group: Group | None, control: socket.socket, channel: socket.socket, stdout: int, stderr: int
    ) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.limits_memory = group is not None
        self.walls = self.complaint = ""
        self._group = group
        self._control = control
        self._stream = FrameStream(channel)
        self.share = self._stream.share
        self.hosts = GrantedHosts()
        self.watch: Callable[[int, Callable[[], object]], Watched] | None = None
        self._watched: Watched | None = None
        self.last_resort: Callable[[], None] | None = None
        self._resorting: asyncio.TimerHandle | None = None
        self.pidfd = -1
        self.is_killed = False
        self._lost: LauncherError | None = None
        self._failure: SetupError | None = None
        self._alarmed = asyncio.Event()
        self._memory_kills = 0
        self._excess = asyncio.Event()
        self._launched_at = time.monotonic()
        self._report: Ended | None = None
        self._hears = True
        self._is_heard = False  # by the event loop
        self._is_supervised = True
        self._standing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._outcome: Outcome | SandboxError  # once it is over

    @property
    def pid(self) -> int:
        """The pid on the host of its first process (the supervisor, if it has one of its own); 0 once that is gone."""
        return read_pid(self.pidfd) if self.pidfd >= 0 else 0

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send one frame; waits while the process does not read.

        Raises:
            WireError: `frame` is not strict JSON or too large; nothing was sent.
            ConnectionError: the process has closed its end or is dead.
        """
        await self._stream.send(frame)

    async def receive(self) -> dict[str, Any] | None:
        """Wait for the next frame, also one sent before the process died; `None` when no more can come.

        Raises:
            WireError: what came is no frame; do not call again.
        """
        return await self._stream.receive()

    async def receive_body(self) -> bytes | None:
        """Wait for the next frame, and return its bytes: then `read` it, or `leave` it. As `receive`."""
        return await self._stream.receive_body()

    async def read(self, body: bytes) -> dict[str, Any]:
        """The frame that was received last, whose body this is. Raises `WireError`, as `receive`."""
        return await self._stream.read(body)

    def leave(self) -> None:
        """The frame that was received last needs no reading."""
        self._stream.leave()

    def expect(self, longest: Callable[[bytes], int], most_values: int, longest_text: int = FRAME_LIMIT) -> None:
        """Set how long a frame may be, by its first bytes, and how much a long one may hold."""
        self._stream.longest, self._stream.most_values = longest, most_values
        self._stream.longest_text = longest_text

    @property
    def frame_bytes(self) -> int:
        """The size of the frame that was received last."""
        return self._stream.frame_bytes

    def terminate(self) -> None:
        """Send SIGTERM to the task's process, if there still is one."""
        try:
            if self._is_supervised:
                self._control.send(TERMINATE, socket.MSG_DONTWAIT)
            elif self.pidfd >= 0:
                signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)
        except OSError:
            pass  # it has ended, or so many were sent already that one more says nothing

    def kill(self) -> None:
        """Kill the whole tree, now, by the kernel's means."""
        self.is_killed = True
        if self._watched is not None:  # processes that are killed together are not awaited, so the kernel sums up none
            self._watched.see_cpu_time(cpu_time_s(self.pid))
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            if self.last_resort is not None and self._resorting is None:
                self._resorting = asyncio.get_running_loop().call_later(_REAP_PATIENCE_S, self.last_resort)

    def kill_for_memory(self) -> None:
        """Kill the whole tree, which was measured to use too much memory, and count that as a kill for memory."""
        if not self._over.is_set():
            self._memory_kills += 1
            self._excess.set()
            self.kill()

    def memory_kills(self) -> int:
        """How many processes of the tree were killed for memory so far, by the kernel or by the watchdog."""
        if self._group is not None:
            self._memory_kills = self._group.kills()
        return self._memory_kills

    def memory_bytes(self) -> int:
        """The memory that its tree uses now or, without a cgroup, used when it was last measured."""
        if self._group is not None:
            return self._group.used_bytes()
        return 0 if self._watched is None else self._watched.used_bytes

    async def measure_memory(self) -> int:
        """The memory that its tree uses now, measured anew if no cgroup counts it."""
        if self._group is None and self._watched is not None:
            await asyncio.to_thread(self._watched.look)
        return self.memory_bytes()

    def cpu_time_s(self) -> float:
        """The cpu time of its tree so far; without a cgroup, of living processes and the children that they reaped."""
        counted_s = None if self._group is None else self._group.cpu_time_s()
        return cpu_time_s(self.pid) if counted_s is None else counted_s

    def limit_memory(self, limit_bytes: int) -> bool:
        """Give the tree another limit on its memory; `False` if it uses more than that already."""
        if self._group is None:
            if self._watched is not None:
                self._watched.limit_bytes = limit_bytes
            return self._watched is not None
        try:
            self._group.limit_memory(limit_bytes)
        except OSError:  # it has grown to more meanwhile
            return False
        return True

    async def memory_killed(self) -> None:
        """Return once something of the tree was killed for memory."""
        loop = asyncio.get_running_loop()
        while self._group is not None:  # a kill before this has left the alarm readable
            alarm = self._group.alarm
            loop.add_reader(alarm, self._alarmed.set)
            await self._alarmed.wait()
            if self._group is not None:
                loop.remove_reader(alarm)  # readable until it is cleared: the loop would do nothing else
            deadline = loop.time() + _KILL_PATIENCE_S
            # Nothing tells that a counter in a file has grown.
            while self._group is not None and not self.memory_kills() and loop.time() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(_KILL_PAUSE_S)
            if self.memory_kills():
                return
            if self._group is not None:
                self._group.clear_alarm()
                self._alarmed.clear()
        while not self.memory_kills():
            await self._excess.wait()

    def watch_network(self, told: Callable[[str], None]) -> None:
        """Call `told` with a line, once, for each granted host that could not be connected to, and why."""
        self.hosts.watch(told)

    @property
    def is_dead(self) -> bool:
        """Whether everything of it is dead; what it sent before may still be received."""
        return self._over.is_set()

    async def wait(self) -> Outcome:
        """Wait until everything of it is dead.

        Raises:
            LauncherError: the launcher died, so it is not known how this process ended. It is dead.
        """
        await self._over.wait()
        if isinstance(self._outcome, SandboxError):
            raise self._outcome.with_traceback(None)  # anew for each who waits
        return self._outcome

    # --- for the Sandbox ---------------------------------------------------------------------------------------------

    async def stands(self) -> None:
        """Return when all steps of the confinement are done. Raises the error of a step that failed."""
        await asyncio.shield(self._standing)

    def lose(self, why: str) -> None:
        """Kill the whole tree through no fault of its own: `wait` raises, unless its end was known or caused before."""
        if not self.is_killed:
            self._lost = LauncherError(why)
        self.kill()

    def started(self, pidfd: int) -> None:
        """It has been forked. A `pidfd` of -1 means that this process had no descriptor left for it, so it must end."""
        self.pidfd = pidfd
        if pidfd < 0:
            self._lost = LauncherError("too many open files in this process")
            self._control.shutdown(socket.SHUT_RDWR)  # on which its supervisor ends, as when this process is no more
        else:
            if self.watch is not None:
                # On the loop: in another thread the kill could use a descriptor that belongs to somebody else by then.
                tell = asyncio.get_running_loop().call_soon_threadsafe
                self._watched = self.watch(self.pid, partial(tell, self.kill_for_memory))
            if self.is_killed:
                self.kill()
        asyncio.get_running_loop().add_reader(self._control.fileno(), self._hear)
        self._is_heard = True

    def begun(self, pidfd: int, listeners: list[int]) -> None:
        """The standby with this pidfd becomes it. If that fails, the reason is known at the end.

        `listeners` are of its granted hosts. They are closed.
        """
        self.pidfd, self._is_supervised = pidfd, False
        try:
            if listeners:
                self._have_relayed(listeners)
        finally:
            for descriptor in listeners:
                os.close(descriptor)

    def _hear(self) -> None:
        """Take in messages of the supervisor, and of the task before it runs anything of the spec."""
        while self._hears:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, MOST, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # it ended with messages unread, which is reported once; what it sent can still be received
            except OSError:
                data, descriptors = b"", []
            try:
                self._hears = bool(data) and self._understand(data, descriptors)
            except WireError as error:
                self._hears = False
                self.kill()
                self._fail(SetupError("supervision", str(error)))
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        self._hear_no_more()

    def _hear_no_more(self) -> None:
        if self._is_heard:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._is_heard = False

    def _understand(self, data: bytes, descriptors: list[int]) -> bool:
        """Take in one message; whether another may follow. Raises `WireError`."""
        if not self._is_supervised:
            self.complaint = _complaint(data)
            self.kill()
            return False
        match read(data):
            case Ended() as last:
                self._report = last
                return False  # further messages could only keep this process busy
            case _ if self._standing.done():
                raise WireError("a report comes when the confinement stands already")
            case Listening():
                self._have_relayed(descriptors)
            case Standing():
                self._standing.set_result(None)
            case error:
                self._failure = error
                self._fail(error)
        return True

    def _fail(self, error: SandboxError) -> None:
        """Raise this error to whoever waits for the confinement."""
        if not self._standing.done():
            self._standing.set_exception(error)
        self._standing.exception()  # whoever launched may have been cancelled

    def _have_relayed(self, listeners: list[int]) -> None:
        """Give the listeners of its network to the relay. An attempt that cannot have its network is killed."""
        try:
            self.hosts.hand_over(listeners)
        except SetupError as error:
            self._failure = error
            self._fail(error)
            self.kill()

    def report(self, report: Ended) -> None:
        """Take in how its task ended, as another process than its supervisor knows it."""
        if not (self.is_killed and report.signal == signal.SIGKILL):  # that was the kill from here
            self._report = report

    def ended(self, end: End) -> None:
        """All of it is dead: settle the outcome and let go of everything."""
        self._hear()
        if end.report is not None:
            self.report(end.report)
        self._fail(end.error or SetupError("supervision", "the process died while its confinement was set up"))
        used_s, peak_bytes = end.cpu_time_s, end.peak_bytes
        if self._watched is not None:
            peak_bytes = max(peak_bytes or 0, self._watched.peak_bytes) or None
            used_s = max(used_s or 0.0, self._watched.cpu_time_s) or None
        if self._group is not None:
            asyncio.get_running_loop().remove_reader(self._group.alarm)
            self._memory_kills = self._group.kills()
            peak_bytes = self._group.peak_bytes() or peak_bytes
            used_s = self._group.cpu_time_s() or used_s
            self._group.remove()
            self._group = None
            self._alarmed.set()
        self._stream.finish()
        self.hosts.close()
        self._hear_no_more()
        self._control.close()
        if self._resorting is not None:
            self._resorting.cancel()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        is_known = self._report is not None or (self.is_killed and self._lost is None)
        error = self._failure or (None if is_known else end.error or self._lost)
        self._outcome = error or self._told(used_s, peak_bytes)
        self._over.set()

    def _told(self, used_s: float | None, peak_bytes: int | None) -> Outcome:
        """The outcome, by what was reported of its task and what was counted."""
        report = self._report or Ended()
        return Outcome(
            exit_code=report.exit_code,
            signal=report.signal,
            memory_kills=self._memory_kills,
            peak_memory_bytes=peak_bytes,
            cpu_time_s=used_s,
            wall_time_s=time.monotonic() - self._launched_at,
            walls=self.walls,
            lease_over=report.lease_over,
            complaint=self.complaint,
        )


def _complaint(data: bytes) -> str:
    try:
        return printable(str(read(data)), _COMPLAINT_CHARS)
    except WireError as error:
        return str(error)
