"""Level restricted: nothing that acts on another process, or on an object of the host by its number, is allowed."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox import Level, Mount
from support import denied_calls

_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p
_QUEUE = b"isolane-bystander-%d"
IPC_CREAT_OWN, IPC_RMID, IPC_NOWAIT, GETVAL = 0o1600, 0, 0o4000, 12


@pytest.fixture
def bystander():
    """A process of the same user, and System V and POSIX objects of that user, that are as they were afterwards."""
    name = _QUEUE % os.getpid()
    shm, queue, semaphore = (
        _libc.shmget(0, 4096, IPC_CREAT_OWN),
        _libc.msgget(0, IPC_CREAT_OWN),
        _libc.semget(0, 1, IPC_CREAT_OWN),
    )
    memory = _libc.shmat(shm, None, 0)
    ctypes.memmove(memory, b"canary", 6)
    _libc.msgsnd(queue, struct.pack("l", 1) + b"canary", 6, 0)
    posix = _libc.mq_open(b"/" + name, os.O_CREAT | os.O_RDWR, 0o600, None)
    assert min(shm, queue, semaphore, posix) >= 0
    code = "print(flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"\n"  # it has its name by now
        before = _state(process.pid)
        yield SimpleNamespace(pid=process.pid, shm=shm, queue=queue, semaphore=semaphore, name=name.decode())
        assert process.poll() is None
        assert _state(process.pid) == before
        assert ctypes.string_at(memory, 6) == b"canary"
        assert _libc.semctl(semaphore, 0, GETVAL) == 0
        assert _libc.msgrcv(queue, ctypes.create_string_buffer(64), 64, 0, IPC_NOWAIT) == 6
        again = _libc.mq_open(b"/" + name, os.O_RDWR)
        assert again >= 0
        os.close(again)
    finally:
        process.communicate(b"\n")
        os.close(posix)
        _libc.mq_unlink(b"/" + name)
        _libc.shmdt(ctypes.c_void_p(memory))
        for remove, number in ((_libc.shmctl, shm), (_libc.msgctl, queue)):
            remove(number, IPC_RMID, None)
        _libc.semctl(semaphore, 0, IPC_RMID)


def _state(pid):
    limits = [resource.prlimit(pid, kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE)]
    files = [Path(f"/proc/{pid}/{name}").read_text() for name in ("oom_score_adj", "coredump_filter", "comm")]
    return limits, files, os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid)


@pytest.fixture
async def ask(tmp_path, actor):
    sandbox = await actor.start(tmp_path, Level.RESTRICTED)
    (tmp_path / "shared").mkdir()
    mounts = (Mount(source=str(tmp_path / "shared"), target="/shared", writable=True),)
    confined = await sandbox.launch(actor.spec("evaluate", module="attacks", mounts=mounts))
    yield actor.Inside(confined)
    confined.kill()
    await actor.finish(confined)
    await sandbox.close()
    assert not [path for path in (tmp_path / "shared").rglob("*") if path.lstat().st_mode & 0o6000]


OTHERS = {
    "limits": (
        "resource.prlimit({pid}, resource.RLIMIT_CPU, (1, 1))",
        "resource.prlimit({pid}, resource.RLIMIT_NOFILE)",
        "call('prlimit64', {pid} | 1 << 32, 0, struct.pack('QQ', 1, 1), None)",
        "in_thread(resource.prlimit, os.getppid(), resource.RLIMIT_CPU, (1, 1))",
    ),
    "scheduling": (
        "os.setpriority(os.PRIO_PROCESS, {pid}, 9)",
        "os.setpriority(os.PRIO_PGRP, os.getpgid({pid}), 9)",
        "os.setpriority(os.PRIO_USER, os.getuid(), 9)",
        "os.setpriority(os.PRIO_USER, 0, 9)",
        "call('ioprio_set', 1, {pid}, 3 << 13)",
        "call('ioprio_set', 3, os.getuid(), 3 << 13)",
        "os.sched_setaffinity({pid}, [0])",
        "os.sched_setscheduler({pid}, os.SCHED_IDLE, os.sched_param(0))",
        "os.sched_setparam({pid}, os.sched_param(0))",
        "call('sched_setattr', {pid}, bytes(48), 0)",
    ),
    "signals": (
        "os.kill({pid}, 0)",
        "os.kill({pid}, 9)",
        "os.kill(os.getppid(), 15)",
        "os.killpg(os.getpgid({pid}), 9)",
        "call('tkill', {pid}, 9)",
        "call('tgkill', {pid}, {pid}, 9)",
        "call('rt_sigqueueinfo', {pid}, 9, struct.pack('iii', 9, 0, -1) + bytes(116))",
        "call('rt_tgsigqueueinfo', {pid}, {pid}, 9, struct.pack('iii', 9, 0, -1) + bytes(116))",
        "signal.pidfd_send_signal(os.pidfd_open({pid}), 9)",
        "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, {pid})",
        "fcntl.fcntl(os.pipe()[0], 15, struct.pack('ii', 1, {pid}))",
        "fcntl.fcntl(os.pipe()[0], 10, 9)",
        "fcntl.ioctl(socket.socketpair()[0], 0x8901, struct.pack('i', {pid}))",
        "fcntl.ioctl(socket.socketpair()[0], 0x8902, struct.pack('i', {pid}))",
        "fcntl.fcntl(os.open('.', 0), fcntl.F_NOTIFY, 0x80000002)",
    ),
    "memory and descriptors": (
        "call('process_madvise', os.pidfd_open({pid}), struct.pack('QQ', 0, 0), 1, 20, 0)",
        "call('process_mrelease', os.pidfd_open({pid}), 0)",
        "call('pidfd_getfd', os.pidfd_open({pid}), 0, 0)",
        "call('process_vm_readv', {pid}, None, 0, None, 0, 0)",
        "call('move_pages', {pid}, 0, None, None, None, 0)",
        "call('migrate_pages', {pid}, 1, bytes(8), bytes(8))",
        "call('get_robust_list', {pid}, bytes(8), bytes(8))",
        "call('kcmp', {pid}, {pid}, 0, 0, 0)",
        "call('ptrace', 16, {pid}, 0, 0)",
        "call('perf_event_open', bytes(128), {pid}, -1, -1, 0)",
    ),
    "files of a process": (
        *(
            f"write('/proc/{{pid}}/{name}', '1')"
            for name in (
                "oom_score_adj",
                "coredump_filter",
                "comm",
                "clear_refs",
                "sched",
                "autogroup",
                "timerslack_ns",
            )
        ),
        "write('/proc/{pid}/task/{pid}/comm', 'x')",
        "open('/proc/{pid}/mem', 'rb')",
    ),
    "System V IPC": (
        "call('shmget', 4711, 4096, 0o1600)",
        "call('shmat', {shm}, None, 0)",
        "call('shmctl', {shm}, 0, None)",
        "call('msgrcv', {queue}, bytes(64), 32, 0, 0o4000)",
        "call('msgsnd', {queue}, struct.pack('l', 1) + b'x', 1, 0o4000)",
        "call('msgctl', {queue}, 0, None)",
        "call('semop', {semaphore}, struct.pack('Hhh', 0, 1, 0), 1)",
        "call('semtimedop', {semaphore}, struct.pack('Hhh', 0, 1, 0), 1, None)",
        "call('semctl', {semaphore}, 0, 16, 7)",
    ),
    "POSIX queues": (
        "call('mq_open', b'{name}', 2, 0, None)",
        "call('mq_open', b'other', 0o102, 0o600, None)",
        "call('mq_unlink', b'{name}')",
        "open('/dev/mqueue/{name}', 'rb')",
    ),
    "quotas of its user": ("call('inotify_init1', 0)",),
    "keys": ("call('keyctl', 0, -4, 1)", "call('add_key', b'user', b'x', b'x', 1, -4)"),
}


def filled(expressions, places):
    for key, value in vars(places).items():
        expressions = [expression.replace("{" + key + "}", str(value)) for expression in expressions]
    return expressions


@pytest.mark.parametrize("kind", OTHERS)
async def test_what_is_not_its_own_cannot_be_acted_on(ask, bystander, kind):
    for expression in filled(OTHERS[kind], bystander):
        answer = await ask(expression)
        assert isinstance(answer, OSError), f"{expression} gave {answer}"
        assert answer.errno is not None, f"{expression}: {answer}"


@pytest.mark.parametrize("row", [denied_calls.SET_ID, *denied_calls.OF_ALL_LEVELS], ids=lambda row: row[1])
async def test_what_is_denied_by_call_at_full_is_denied_here(ask, tmp_path, row):
    for expression in row[2:]:
        here = expression.replace("{shared}", "/shared").replace("'/shared", f"'{tmp_path}/shared")
        answer = await ask(here.replace("'/tmp/", f"'{tmp_path}/shared/"))
        assert isinstance(answer, OSError), f"{here} gave {answer}"
        assert answer.errno is not None, f"{here}: {answer}"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("os.sched_setaffinity(0, os.sched_getaffinity(0))", "None"),
        ("resource.setrlimit(resource.RLIMIT_CPU, resource.getrlimit(resource.RLIMIT_CPU))", "None"),
        ("os.nice(1) - os.getpriority(os.PRIO_PROCESS, 0)", "0"),
        ("os.setpriority(os.PRIO_PGRP, 0, 5)", "None"),
        ("os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))", "None"),
        ("signal.raise_signal(signal.SIGURG)", "None"),
        ("os.kill(os.getpid(), 0)", "None"),
        ("signal.pthread_kill(threading.get_ident(), signal.SIGURG)", "None"),
        ("ended(subprocess.Popen(['sleep', '100']))", "-15"),
    ],
)
async def test_a_task_may_act_on_itself_and_its_children(ask, expression, value):
    assert await ask(expression) == value
