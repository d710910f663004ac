"""The launcher: a small fork server with one thread, from which every attempt is forked.

    runner ──(SOCK_SEQPACKET: one JSON message at a time, descriptors beside it)── launcher ──clone── supervisor

It starts as a bare interpreter, imports what attempts need once, and waits for requests. It never waits for an attempt:
it forks a child, sends the runner a pidfd of it, and later what it used. A launch that fails is refused, and affects no
other.

It holds the lock file until all that it launched is dead, so whoever gets the lock knows that. When the runner dies or
closes its end, the launcher kills every supervisor, waits for each, and ends. It notices that by the socket, and by
SIGTERM, which the kernel sends when the thread that started it has ended (the socket's other end may have been
inherited). If the launcher itself is killed, the kernel kills the supervisors (parent-death signal), and the end of the
pipe `life` tells them.

Messages from the runner: first the hello (`packages`, `path`, `preload`, `prefixes`, `files`), with the lock; then
launches. To the runner: `{"hello": true}`; for each launch `refused`, or `started` (with the pidfd) and later `ended`.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from importlib import import_module
from typing import Any

from sandbox.errors import SetupError
from sandbox.inner import scratch, supervisor
from sandbox.inner.attempt import Attempt
from sandbox.inner.supervisor_steps import SUPERVISOR_STEPS, ZYGOTE_SUPERVISOR_STEPS, walls
from sandbox.inner.warm import zygote_supervisor
from sandbox.kernel import identity, namespaces, process_tree, rlimits, rootfs, seccomp, syscalls
from sandbox.protocol import messages
from sandbox.spec import Level, Spec

_HANDLED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
#: So many files that an attempt left are removed here; if there are more, a process of its own removes them.
_REMOVED_AT_ONCE = 500


def main(socket_descriptor: int) -> None:
    """Serve the runner at the other end of this socket until it goes."""
    runner = socket.socket(fileno=socket_descriptor)
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGTERM)
    syscalls.set_process_name(b"isolane")
    hello, (lock,) = messages.receive(runner, messages.MESSAGE_LIMIT) or ({}, (None,))
    if lock is None:
        return
    try:
        server = ForkServer(runner, lock, hello)
    except Exception as error:
        messages.send(runner, {"failed": f"{type(error).__name__}: {error}"})
        return
    messages.send(runner, {"hello": True})
    server.serve()


class ForkServer:
    """The fork server."""

    def __init__(self, runner: socket.socket, lock: int, hello: dict[str, Any]) -> None:
        sys.path[:] = hello["path"]
        for name, value in hello["prefixes"].items():
            setattr(sys, name, value)  # the site module, which does not run here, would have set them
        for module in hello["preload"]:
            import_module(module)
        self._runner = runner
        self._lock = lock
        self._parent = os.getppid()
        self._layout = rootfs.survey(hello["packages"])
        self._scratch = scratch.folder_of(lock)
        scratch.clear(self._scratch)
        seccomp.prepare()
        rlimits.forbid_dumps()
        # So attempts of the runner's user cannot use up the descriptors that this user may have on their way in
        # messages.
        self._most_files = min(rlimits.raise_files(), hello["files"]) // 2
        self._identities = identity.HostUsers()
        self._owner_maps: dict[int, int] = {}
        self._running: dict[int, int] = {}  # supervisor's pid -> id of the launch
        self._ended: dict[int, Any] = {}  # id of the launch -> its rusage, while strays are killed
        self._adopts = False
        self._sweepers: set[int] = set()
        self._life, self._keep_alive = os.pipe2(os.O_CLOEXEC)
        self._signals = syscalls.signalfd(_HANDLED)
        if threads := len(os.listdir("/proc/self/task")) - 1:
            raise RuntimeError(f"preloading started {threads} threads; none may be when attempts are forked")
        identity.shield()
        syscalls.look_up()
        os.environ.clear()
        gc.collect()
        gc.freeze()  # attempts share these pages as long as no collection writes to them

    def serve(self) -> None:
        """Launch what the runner asks for until it goes; then leave nothing alive."""
        poller = select.poll()
        poller.register(self._runner, select.POLLIN)
        poller.register(self._signals, select.POLLIN)
        wanted = True
        while wanted:
            for descriptor, _ in poller.poll():
                wanted = (self._on_signal() if descriptor == self._signals else self._on_message()) and wanted
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        for pid in self._running:
            os.waitpid(pid, 0)
        if self._adopts:
            process_tree.kill_descendants()
        scratch.clear(self._scratch)

    def _on_message(self) -> bool:
        try:
            received = messages.receive(self._runner, messages.MESSAGE_LIMIT)
        except OSError:
            return False
        if received is None:
            return False
        request, given = received
        try:
            self._launch(request, given)
        except Exception as error:
            cause = error if isinstance(error, SetupError) else SetupError.caused_by("launch", error)
            return self._tell({"refused": request.get("id"), **cause.to_document()})
        finally:
            for descriptor in given:
                os.close(descriptor)
        return True

    def _launch(self, request: dict[str, Any], given: list[int]) -> None:
        attempt = self._attempt(request, given)
        flags = 0
        if attempt.level is Level.FULL:
            flags = namespaces.clone_flags(attempt.identity, network=attempt.spec.shares_network)
        elif not self._adopts:
            process_tree.adopt_orphans()
            self._adopts = True
        try:
            pid = syscalls.clone(flags)
        except OSError as error:
            raise SetupError.caused_by("namespaces", error) from error
        if pid == 0:
            if attempt.is_zygote:
                supervisor.supervise(attempt, ZYGOTE_SUPERVISOR_STEPS, zygote_supervisor.supervise_zygote)
            supervisor.supervise(attempt, SUPERVISOR_STEPS, supervisor.run_task)
        self._running[pid] = request["id"]
        started = {"started": request["id"], "pid": pid, "walls": walls(attempt)}
        try:
            pidfd = os.pidfd_open(pid)
            try:
                messages.send(self._runner, started, [pidfd])
            finally:
                os.close(pidfd)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            del self._running[pid]
            raise

    def _attempt(self, request: dict[str, Any], given: list[int]) -> Attempt:
        if len(given) != request["descriptors"]:
            raise SetupError("launch", "too many open files in the launcher")
        control, *others = given
        channel = stdout = stderr = control
        if not request["zygote"]:
            channel, stdout, stderr, *others = others
        lease, cgroups = (others[0], others[1:]) if request["leased"] else (None, others)
        spec = Spec.from_document(request["spec"])
        level = Level(request["level"])
        who = self._identities.of(request["slot"])
        owner_map = None
        if level is Level.FULL and not who.own and any(mount.writable or mount.owned for mount in spec.mounts):
            owner_map = self._owner_map(request["slot"], who)
        return Attempt(
            spec=spec,
            is_zygote=request["zygote"],
            level=level,
            identity=who,
            layout=self._layout,
            owner_map=owner_map,
            control=control,
            channel=channel,
            stdout=stdout,
            stderr=stderr,
            life=self._life,
            lock=self._lock,
            lease=lease,
            cgroups=tuple(cgroups),
            most_files=self._most_files,
            scratch="" if level is Level.FULL else scratch.make(self._scratch, str(request["id"])),
        )

    def _owner_map(self, slot: int, who: identity.HostUser) -> int:
        if slot not in self._owner_maps:
            try:
                self._owner_maps[slot] = namespaces.open_owner_map(who)
            except OSError as error:
                raise SetupError.caused_by("owners of mounts", error) from error
        return self._owner_maps[slot]

    def _on_signal(self) -> bool:
        os.read(self._signals, 4096)
        self._reap()
        return os.getppid() == self._parent  # a SIGTERM alone may have been sent to the whole group of a runner

    def _reap(self) -> None:
        while True:
            try:
                pid, _, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self._running:
                self._ended[self._running.pop(pid)] = usage
            self._sweepers.discard(pid)
        if self._ended and not self._kill_strays():
            for launch, usage in self._ended.items():
                self._sweep(f"{self._scratch}/{launch}")
                seconds = usage.ru_utime + usage.ru_stime
                self._tell({"ended": launch, "cpu_time_s": seconds, "peak_bytes": usage.ru_maxrss * 1024})
            self._ended.clear()

    def _sweep(self, folder: str) -> None:
        """Remove the files that an attempt left. They may be so many that no other attempt should wait for it."""
        if not scratch.clear(folder, _REMOVED_AT_ONCE):
            pid = syscalls.clone(0)
            if pid == 0:
                try:
                    process_tree.die_with_parent()
                    scratch.clear(folder)
                finally:
                    os._exit(0)
            self._sweepers.add(pid)

    def _kill_strays(self) -> bool:
        """Kill the orphans of killed supervisors; `True` if there were any, which will be reaped."""
        if not self._adopts:
            return False
        strays = process_tree.descendants(os.getpid(), without={*self._running, *self._sweepers})
        for pid in strays:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return bool(strays)

    def _tell(self, message: dict[str, Any]) -> bool:
        """Send to the runner; `False` if it is gone."""
        try:
            messages.send(self._runner, message)
        except OSError:
            return False
        return True
