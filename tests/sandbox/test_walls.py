"""What a hostile task tries at level full, and what the kernel answers."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from sandbox import Limits, Mount, SetupError

#: EINVAL is for ids that do not exist inside, ENOSPC for user namespaces, of which no more may be made.
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOSPC, errno.EXDEV, errno.EINVAL}

#: Landlock denies, or nothing listens, or there is no way out.
NO_NETWORK = {errno.EACCES, errno.ECONNREFUSED, errno.ENETUNREACH}


@pytest.mark.parametrize(
    "attempt",
    [
        "Path('/etc/shadow').read_text()",
        "Path('/root/.ssh').iterdir().__next__()",
        "Path('/proc/1/environ').read_bytes()",
        "os.listdir('/proc/1/fd')",
        "os.listdir('/proc/1/root')",
        "write('/usr/bin/evil')",
        "write('/evil')",
        "write('/code/evil')",
        "write('/etc/passwd')",
        "write('/proc/sys/kernel/core_pattern')",
        "write('/proc/self/oom_score_adj', '-1000')",
        "os.chmod('/usr/bin/env', 0o777)",
        "os.rename('/etc/hosts', '/etc/h')",
        "os.setuid(0)",
        "os.setgroups([0])",
        "os.mknod('/tmp/disk', 0o600 | 0o060000, os.makedev(254, 0))",
        "chroot_escape()",
        "unshare_user()",
        "os.link('/etc/hosts', '/tmp/h')",
    ],
)
async def test_what_is_beyond_the_walls_is_denied_and_the_task_goes_on(inside, attempt):
    answer = await inside(attempt)

    assert answer.errno in DENIED
    assert await inside("1 + 1") == 2


async def test_only_the_supervisor_and_the_task_are_seen(inside):
    assert await inside("visible_pids()") == [1, 2]


async def test_the_environment_is_what_was_given_and_nothing_else(sandbox, actor):
    confined = await sandbox.launch(actor.spec("evaluate", environment={"HOME": "/tmp"}))
    ask = actor.Inside(confined)

    assert await ask("dict(os.environ)") == {"HOME": "/tmp"}
    assert "TOKEN" not in await ask("Path('/proc/self/environ').read_text()")
    assert (await ask("subprocess.run(['/usr/bin/env'], capture_output=True, text=True).stdout.split()")) == [
        "HOME=/tmp"
    ]

    confined.kill()
    await actor.finish(confined)


async def test_no_descriptor_is_inherited_but_stdio_and_the_channel(inside):
    assert await inside("descriptors()") == [0, 1, 2, 3]
    assert await inside("os.readlink('/proc/self/fd/0')") == "/dev/null"


async def test_the_task_is_an_ordinary_user_without_capabilities(inside):
    assert await inside("(os.getuid(), os.geteuid(), os.getgid(), os.getgroups())") in (
        [1000, 1000, 1000, []],
        [1000, 1000, 1000, [65534]],
        [1000, 1000, 1000, [1000]],  # the user's own group, once more
    )
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(await inside(f"status('{kind}')"), 16) == 0
    assert await inside("status('NoNewPrivs')") == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no other uid to give")
async def test_to_the_host_the_task_of_a_root_runner_is_nobody_known(inside):
    children = Path(f"/proc/{inside.confined.pid}/task/{inside.confined.pid}/children").read_text().split()

    for pid in (inside.confined.pid, *children):
        uids = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid"))
        assert all(int(uid) >= 1_879_048_192 for uid in uids.split()[1:])


async def test_there_is_no_network(inside):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert (await inside(f"connect('127.0.0.1', {port})")).errno in NO_NETWORK
    assert (await inside("connect('192.0.2.1', 80)")).errno in NO_NETWORK
    assert (await inside("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))")).errno in (
        NO_NETWORK
    )
    devices = await inside("[line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]")
    assert set(devices) <= {"lo", "sit0"}


async def test_the_host_network_is_there_when_it_is_asked_for(sandbox, actor):
    with socket.create_server(("127.0.0.1", 0)) as server:
        confined = await sandbox.launch(actor.spec("evaluate", network=True))
        ask = actor.Inside(confined)
        assert await ask(f"connect('127.0.0.1', {server.getsockname()[1]})") is True
        confined.kill()
        ended = await actor.finish(confined)
    assert "mount net ipc" not in ended.outcome.walls
    assert "mount ipc" in ended.outcome.walls


async def test_the_project_around_the_package_is_not_seen(inside):
    import sandbox

    root = Path(sandbox.__file__).parent.parent
    assert await inside(f"os.listdir({str(root)!r})") in (["sandbox"], [".venv", "sandbox"], ["sandbox", ".venv"])


async def test_the_root_holds_what_is_shown_and_nothing_else(inside):
    seen = set(await inside("os.listdir('/')"))
    assert {"usr", "etc", "dev", "proc", "tmp", "code", "var"} <= seen
    assert not {"sys", "boot", "mnt", "srv", "run"} - {Path(sys.prefix).parts[1]} & seen  # where the checkout may be


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
async def test_scratch_space_is_capped(inside, folder):
    assert await inside(f"fill('{folder}/a', 3 << 20)") is None
    assert (await inside(f"fill('{folder}/b', 3 << 20)")).errno == errno.ENOSPC


async def test_scratch_space_is_one_for_all_its_folders(inside):
    assert await inside("fill('/tmp/a', 3 << 20)") is None
    assert (await inside("fill('/dev/shm/b', 3 << 20)")).errno == errno.ENOSPC


async def test_scratch_space_is_not_shared_between_attempts(sandbox, actor):
    for _ in range(2):
        confined = await sandbox.launch(actor.spec("evaluate"))
        ask = actor.Inside(confined)
        assert await ask("os.path.exists('/tmp/mark') or os.path.exists('/dev/shm/mark')") is False
        assert await ask("write('/tmp/mark') + write('/dev/shm/mark')") == 2000
        confined.kill()
        await actor.finish(confined)


async def test_the_supervisor_survives_signals_from_inside(inside):
    for number in ("SIGKILL", "SIGTERM", "SIGSTOP", "SIGINT", "SIGSEGV"):
        await inside(f"os.kill(1, signal.{number})")
    assert await inside("visible_pids()") == [1, 2]


async def test_the_interpreter_its_packages_and_programs_work_inside(inside):
    assert await inside("__import__('sqlite3').sqlite_version") is not None
    assert await inside("__import__('ssl').OPENSSL_VERSION") is not None
    assert await inside("__import__('zoneinfo').ZoneInfo('Europe/Oslo').key") == "Europe/Oslo"
    assert await inside("subprocess.run([sys.executable, '-c', 'print(7)'], capture_output=True).stdout.decode()") == (
        "7\n"
    )
    assert await inside("subprocess.run(['/bin/sh', '-c', 'echo 7'], capture_output=True).stdout.decode()") == "7\n"
    assert await inside("__import__('pwd').getpwuid(1000).pw_name") == "task"
    assert await inside("socket.gethostname()") == "isolane"
    assert await inside("__import__('multiprocessing').Value('i', 5).value") == 5


async def test_a_writable_mount_gives_files_to_the_runners_user(sandbox, actor, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o700)
    confined = await sandbox.launch(
        actor.spec("evaluate", mounts=(Mount(source=str(shared), target="/work", writable=True),))
    )
    ask = actor.Inside(confined)

    assert await ask("write('/work/made')") == 1000
    confined.kill()
    await actor.finish(confined)

    assert (shared / "made").stat().st_uid == os.geteuid()
    assert (shared / "made").stat().st_gid == os.getegid()


async def test_a_mount_is_read_only_unless_it_says_otherwise(sandbox, actor, tmp_path):
    private = tmp_path / "private"
    private.write_text("secret")
    private.chmod(0o600)
    mounts = (Mount(source=str(private), target="/data/in/file", owned=True),)
    confined = await sandbox.launch(actor.spec("evaluate", mounts=mounts))
    ask = actor.Inside(confined)

    assert await ask("Path('/data/in/file').read_text()") == "secret"
    assert (await ask("write('/data/in/file')")).errno == errno.EROFS
    confined.kill()
    await actor.finish(confined)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's task is that user, whom the file belongs to")
async def test_a_private_file_is_not_read_through_a_plain_mount(sandbox, actor, tmp_path):
    private = tmp_path / "private"
    private.write_text("secret")
    private.chmod(0o600)
    confined = await sandbox.launch(actor.spec("evaluate", mounts=(Mount(source=str(private), target="/file"),)))

    assert (await actor.Inside(confined)("Path('/file').read_text()")).errno == errno.EACCES
    confined.kill()
    await actor.finish(confined)


async def test_attempts_lock_each_other_out_on_a_shared_file(sandbox, actor, tmp_path):
    mounts = (Mount(source=str(tmp_path), target="/work", writable=True),)
    first, second = [await sandbox.launch(actor.spec("evaluate", mounts=mounts)) for _ in range(2)]

    assert await actor.Inside(first)("lock('/work/file')") is True
    assert (await actor.Inside(second)("lock('/work/file')")).errno == errno.EWOULDBLOCK
    first.kill()
    await actor.finish(first)
    assert await actor.Inside(second)("lock('/work/file')") is True
    second.kill()
    await actor.finish(second)


async def test_a_missing_source_is_named(sandbox, actor, tmp_path):
    missing = tmp_path / "nowhere"

    with pytest.raises(SetupError, match=f"{missing}.*ENOENT"):
        await sandbox.launch(actor.spec("nothing", mounts=(Mount(source=str(missing), target="/work"),)))


async def test_a_filesystem_that_cannot_map_owners_is_named(sandbox, actor):
    if os.geteuid() != 0:
        pytest.skip("an ordinary user needs no mapping of owners")
    with pytest.raises(SetupError, match="/proc cannot map owners"):
        await sandbox.launch(actor.spec("nothing", mounts=(Mount(source="/proc", target="/work", writable=True),)))


async def test_a_target_inside_what_is_read_only_is_named(sandbox, actor, tmp_path):
    with pytest.raises(SetupError, match=r"/usr/nowhere.*EROFS"):
        await sandbox.launch(actor.spec("nothing", mounts=(Mount(source=str(tmp_path), target="/usr/nowhere"),)))


@pytest.mark.parametrize("target", ["/", "/proc/x", "/dev", "relative", "/a/../b", "/sys"])
def test_a_mount_that_would_take_a_wall_away_is_refused(target):
    with pytest.raises(ValueError, match=r"mounted|absolute"):
        Mount(source="/tmp", target=target)


async def test_rlimits_hold(sandbox, actor):
    limits = Limits(memory_bytes=128 << 20, processes=16, open_files=32)
    confined = await sandbox.launch(actor.spec("evaluate", limits=limits))
    ask = actor.Inside(confined)

    assert (await ask("[os.open('/dev/null', 0) for _ in range(64)]")).errno == errno.EMFILE
    # Of dumps: with 0 the kernel would still start a program of the host that takes them.
    assert await ask("__import__('resource').getrlimit(4)") == [1, 1]
    confined.kill()
    await actor.finish(confined)


async def test_the_walls_that_stand_are_listed(sandbox):
    user = "unprivileged uid" if os.geteuid() == 0 else "the runner's own uid"
    for wall in ("full: user pid mount net ipc uts cgroup", "private root", "no capabilities", "no_new_privs", user):
        assert wall in sandbox.walls
    assert "; limits: " in sandbox.walls
