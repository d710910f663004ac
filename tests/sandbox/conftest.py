"""Real sandboxes on the real kernel, and what is left behind checked after each test."""

# ruff: noqa: PTH115, PTH208 - descriptors are plain names under /proc
from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox import Confined, Level, Limits, Mount, Outcome, Sandbox, Spec, WarmUp
from sandbox.host import temporary_lock
from support.rows import RowAsUser
from support.waiting import eventually_async
from support.warm import need_zygotes

INSIDE = Path(__file__).parent / "inside"
CODE = Mount(source=str(INSIDE), target="/code")


def make_spec(entry, module="actor", **options):
    options.setdefault("limits", Limits(memory_bytes=128 << 20, processes=32, disk_bytes=4 << 20, open_files=64))
    mounts = (CODE, *options.pop("mounts", ()))
    return Spec(entry=f"{module}:{entry}", mounts=mounts, path=("/code",), **options)


@dataclass
class Ended:
    outcome: Outcome
    frames: list
    stdout: str
    stderr: str


async def read_all(descriptor):
    """Everything from a pipe until its end, and close it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    try:
        return (await reader.read()).decode()
    finally:
        transport.close()


async def finish(confined: Confined) -> Ended:
    """Wait for the end; give all that it wrote and sent."""
    async with asyncio.timeout(30):
        outcome, stdout, stderr = await asyncio.gather(
            confined.wait(), read_all(confined.stdout), read_all(confined.stderr)
        )
    frames = []
    while (frame := await confined.receive()) is not None:
        frames.append(frame)
    return Ended(outcome, frames, stdout, stderr)


class Inside:
    """Asks a confined process to evaluate expressions."""

    def __init__(self, confined):
        self.confined = confined

    async def __call__(self, expression):
        await self.confined.send({"eval": expression})
        async with asyncio.timeout(20):
            answer = await self.confined.receive()
        assert answer is not None, "it died"
        return answer["value"] if "value" in answer else OSError(answer["errno"], answer["error"])


@pytest.fixture(params=list(Level), ids=str)
async def level(request):
    return request.param


def descriptors():
    """Those that are open, but for the standard ones, which pytest exchanges."""
    return {
        name: os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if int(name) > 2 and _is_open(name)
    }


def _is_open(name):
    return Path(f"/proc/self/fd/{name}").is_symlink() and "/proc/" not in os.readlink(f"/proc/self/fd/{name}")


async def start(tmp_path, level):
    sandbox = Sandbox(lock_file=tmp_path / "lock", level=level)
    await sandbox.start()
    return sandbox


@contextlib.asynccontextmanager
async def leaving_no_cgroup(folder, level):
    """A sandbox of which no cgroup is left at the end."""
    sandbox = await start(folder, level)
    yield sandbox
    await sandbox.close()
    assert not our_cgroups(folder / "lock"), "cgroups were left"


@contextlib.contextmanager
def leaving_no_descriptor():
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() == before, "descriptors were left open"


@pytest.fixture
async def sandbox(tmp_path):
    """At level full, which every machine that runs these tests must allow."""
    with leaving_no_descriptor():
        async with leaving_no_cgroup(tmp_path, Level.FULL) as sandbox:
            yield sandbox


@pytest.fixture
async def sandbox_at_each_level(tmp_path, level):
    with leaving_no_descriptor():
        async with leaving_no_cgroup(tmp_path, level) as sandbox:
            yield sandbox


def our_cgroups(lock_file):
    import hashlib

    name = "isolane-" + hashlib.sha256(os.fsencode(lock_file.resolve())).hexdigest()[:16]
    root = Path("/sys/fs/cgroup")
    found = set(root.glob(f"*/{name}"))
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        given = root / controllers / path.lstrip("/")  # to an ordinary user, or what holds it
        found |= {each / name for each in (given, *given.parents) if (each / name).exists()}
    return sorted(found)


@pytest.fixture
async def inside(sandbox):
    """A confined process to ask."""
    confined = await sandbox.launch(make_spec("evaluate"))
    yield Inside(confined)
    confined.kill()
    await finish(confined)


@pytest.fixture(scope="session")
def actor():
    """The helpers of this file, since folders of tests are no packages."""
    from types import SimpleNamespace

    return SimpleNamespace(
        spec=make_spec,
        finish=finish,
        Inside=Inside,
        read_all=read_all,
        start=start,
        path=INSIDE,
        cgroups=our_cgroups,
    )


KEY = 0x15014A4E


@pytest.fixture(scope="module", params=["root", "user"] if os.geteuid() == 0 else ["user"])
def who(request):
    """As whom the runner's side runs: with root, an ordinary user's tests run in a process of that user."""
    return request.param


def pytest_collection_modifyitems(items):
    if os.geteuid() == 0:
        items[:] = [RowAsUser.from_parent(item.parent, name=item.name) if is_users(item) else item for item in items]


def is_users(item):
    return getattr(item, "callspec", None) is not None and item.callspec.params.get("who") == "user"


@pytest.fixture(params=[Level.FULL, Level.RESTRICTED], ids=str)
async def uncounted(request, who, tmp_path, actor, monkeypatch):
    """A sandbox without cgroups, as an ordinary user's is by default."""
    monkeypatch.setattr("sandbox.host.cgroups.cgroup.find", lambda _: None)
    sandbox = await actor.start(tmp_path, request.param)
    yield sandbox
    await sandbox.close()


@pytest.fixture(params=["alone", "warm"])
async def arena(request, who, sandbox, tmp_path):
    """A host and a sibling with something to lose, from attempts by themselves and from those of a zygote."""
    async with arena_of(sandbox, tmp_path, request.param == "warm") as arena:
        yield arena
        await arena.assert_unharmed()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["alone", "warm"])
async def lasting_arena(request, who, tmp_path_factory):
    """One for a whole module, which looks at it after each test."""
    folder = tmp_path_factory.mktemp("arena")
    async with (
        leaving_no_cgroup(folder, Level.FULL) as sandbox,
        arena_of(sandbox, folder, request.param == "warm") as arena,
    ):
        yield arena


@contextlib.asynccontextmanager
async def arena_of(sandbox, folder, warm):
    """What `Arena` needs, for as long as the block lasts."""
    if warm:
        need_zygotes(folder)
    host = folder / "host"
    host.mkdir()
    (host / "canary").write_text("alive")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as by_path,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        place = os.open(host, os.O_PATH)
        by_path.bind(f"/proc/self/fd/{place}/socket")  # since a socket's path must be short
        os.close(place)
        (host / "socket").chmod(0o777)
        name = f"isolane-canary-{os.getpid()}"
        abstract.bind(f"\0{name}")
        servers = (tcp, by_path, abstract)
        for server in servers:
            server.listen()
            server.setblocking(False)
        places = {"host": host, "pid": os.getpid(), "port": tcp.getsockname()[1], "abstract": name, "key": KEY}
        arena = Arena(sandbox, places, servers, warm)
        await arena.plant()
        yield arena
        arena.sibling.confined.kill()
        await finish(arena.sibling.confined)


class Arena:
    """Where attacks are made: `places` are what they may aim at."""

    def __init__(self, sandbox, places, servers, warm):
        self.sandbox, self.places, self.servers, self.warm = sandbox, places, servers, warm
        self.mounts = Path("/proc/self/mountinfo").read_text()
        self.work = places["host"] / "work"
        self.begin()

    def begin(self):
        """Have an empty folder for the next attack."""
        if self.work.exists():
            self.work.rename(self.work.with_name(f"work-{time.monotonic_ns()}"))
        self.work.mkdir()

    async def plant(self):
        """Start the sibling, which has something to lose, too."""
        self.siblings = self.spec("actor:evaluate")
        self.sibling = Inside(await self.launch("actor:evaluate"))
        assert await self.sibling("write('/tmp/canary', 'alive') and write('/dev/shm/canary', 'alive')") == 1000
        assert await self.sibling(f"ctypes.CDLL(None).shmget({KEY}, 4096, 0o1666)") >= 0
        self.children = self._children_of_launcher()

    async def launch(self, entry, unfit_because="", **options):
        """Run an attack; /shared is a writable folder of the host."""
        spec = self.spec(entry, **options)
        unfit = await self.sandbox.warm_up(spec) if self.warm else "is launched by itself"
        confined = await self.sandbox.launch(spec)
        assert unfit.partition(":")[0] == unfit_because or not self.warm
        assert confined.walls.endswith("; warm") == (not unfit)
        return confined

    def spec(self, entry, **options):
        work = Mount(source=str(self.work), target="/shared", writable=True)
        spec = make_spec("nothing", mounts=(work,), **options)
        warm_up = WarmUp(entry="builtins:__import__", arguments=(entry.partition(":")[0],)) if self.warm else None
        return dataclasses.replace(spec, entry=entry, warm_up=warm_up)

    def filled(self, expressions):
        for key, value in self.places.items():
            expressions = [expression.replace("{" + key + "}", str(value)) for expression in expressions]
        return expressions

    async def assert_unharmed(self):
        """Nothing of what was planted was reached, nothing of an attack is left, and the next attempt succeeds."""
        for server in self.servers:
            with pytest.raises(BlockingIOError):
                server.accept()
        assert await self.sibling("Path('/tmp/canary').read_text() + Path('/dev/shm/canary').read_text()") == (
            "alivealive"
        )
        assert await self.sibling("len(visible_pids())") == 2
        assert (self.places["host"] / "canary").read_text() == "alive"
        assert not [path for path in (self.work, *self.work.iterdir()) if path.lstat().st_mode & 0o6000]
        assert Path("/proc/self/mountinfo").read_text() == self.mounts
        self.sandbox.retire_zygotes(lambda spec: spec == self.siblings)
        await eventually_async(lambda: self._children_of_launcher() <= self.children)
        after = await finish(await self.sandbox.launch(make_spec("nothing")))
        assert after.outcome.exit_code == 0

    def _children_of_launcher(self):
        process = self.sandbox._link._process.pid
        return set(Path(f"/proc/{process}/task/{process}/children").read_text().split())


@pytest.fixture
def nothing_temporary_is_left(tmp_path, monkeypatch, actor):
    """Of temporary files and cgroups; processes and descriptors are looked at for every test."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    locks, make = [], temporary_lock.make
    monkeypatch.setattr(temporary_lock, "make", lambda: locks.append(make()) or locks[-1])
    yield
    assert list(temporary.iterdir()) == []
    assert not [group for lock in locks for group in actor.cgroups(lock)]


@pytest.fixture
async def box():
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def box_at_each_level(level, tmp_path):
    async with Sandbox(level=level) as sandbox:
        yield sandbox
