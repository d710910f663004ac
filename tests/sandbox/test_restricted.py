"""Level restricted: no namespaces, and yet nothing of the host but what is shown; and what has to go on working."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from sandbox import Level, Mount, SetupError


@pytest.fixture
async def restricted(tmp_path, actor):
    sandbox = await actor.start(tmp_path, Level.RESTRICTED)
    yield sandbox
    await sandbox.close()
    assert not (tmp_path / "lock.scratch").exists()


@pytest.fixture
async def ask(restricted, actor, tmp_path):
    (tmp_path / "canary").write_text("alive")
    (tmp_path / "shared").mkdir()
    mounts = (Mount(source=str(tmp_path / "shared"), target="/shared", writable=True),)
    confined = await restricted.launch(actor.spec("evaluate", mounts=mounts))
    yield actor.Inside(confined)
    confined.kill()
    await actor.finish(confined)
    assert (tmp_path / "canary").read_text() == "alive"


@pytest.mark.parametrize(
    "attempt",
    [
        "open('{host}/canary')",
        "open('{host}/canary', 'w')",
        "os.listdir('{host}')",
        "os.unlink('{host}/canary')",
        "os.chmod('{host}/canary', 0o777)",
        "os.rename('{host}/canary', '{host}/shared/canary')",
        "os.symlink('{host}/canary', '{host}/shared/link') or open('{host}/shared/link')",
        "open('/etc/shadow')",
        "os.listdir('/tmp')",
        "write('/tmp/isolane-evil')",
        "write('/dev/shm/isolane-evil')",
        "write('/usr/bin/evil')",
        "write('/proc/sys/kernel/core_pattern')",
        "open('/proc/{pid}/environ')",
        "os.readlink('/proc/{pid}/fd/0')",
        "open('/proc/{pid}/fd/0')",
        "os.listdir('/proc/{pid}/root')",
        "open('/proc/{pid}/mem', 'rb')",
        "os.kill({pid}, 0)",
        "os.kill(os.getppid(), 9)",
        "connect('127.0.0.1', {port})",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "unshare_user()",
        "os.setgid(12345)",
    ],
)
async def test_what_is_not_shown_is_denied_and_the_task_goes_on(ask, tmp_path, attempt):
    with socket.create_server(("127.0.0.1", 0)) as server:
        places = {"host": tmp_path, "pid": os.getpid(), "port": server.getsockname()[1]}
        for key, value in places.items():
            attempt = attempt.replace("{" + key + "}", str(value))
        answer = await ask(attempt)

    assert isinstance(answer, OSError), answer
    assert answer.errno in {errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EXDEV}
    assert await ask("1 + 1") == 2


async def test_it_has_a_folder_of_its_own_that_goes_with_it(restricted, actor, tmp_path):
    first, second = [await restricted.launch(actor.spec("evaluate")) for _ in range(2)]

    folder = await actor.Inside(first)("[write('file'), os.getcwd()][1]")
    assert (
        folder == await actor.Inside(first)("os.environ['HOME']") == await actor.Inside(first)("os.environ['TMPDIR']")
    )
    assert folder.startswith(str(tmp_path / "lock.scratch"))
    assert (await actor.Inside(second)(f"os.listdir({folder!r})")).errno == errno.EACCES
    for confined in (first, second):
        confined.kill()
        await actor.finish(confined)
    assert not Path(folder).exists()


@pytest.mark.parametrize("writable", [False, True])
async def test_a_mount_to_which_a_link_leads_is_not_granted(restricted, actor, tmp_path, writable):
    (tmp_path / "link").symlink_to(tmp_path)
    mounts = (Mount(source=str(tmp_path / "link"), target="/shared", writable=writable),)

    with pytest.raises(SetupError, match="ELOOP"):
        await restricted.launch(actor.spec("evaluate", mounts=mounts))
