"""The attack table: what a hostile task tries at level full, and what comes of it.

Each row is tried while the task runs and, where the attempt is one call after the other, while its module is imported.
After each: what was planted on the host and in a sibling is as it was, nothing is left, the next attempt succeeds.
How the other rows end is in test_attack_endings.py; what a task says to the runner (56 to 61, 69, 70) is tried against
the engine too.
"""

from __future__ import annotations

import asyncio
import json

import pytest
import pytest_asyncio

from support import denied_calls

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: row, name, expressions of which each has to raise an OSError. {host} is the folder of the canaries.
DENIED = [
    (
        1,
        "read secrets",
        "open('/etc/shadow')",
        "os.listdir('/root/.ssh')",
        "os.listdir('/var/log')",
        "open('{host}/canary')",
        "os.listdir('{host}')",
    ),
    (2, "write to the system", "write('/usr/bin/evil')", "write('/code/evil')", "write(os.__file__)", "write('/evil')"),
    (3, "symlink to a host file", "os.symlink('{host}/canary', '/shared/link') or open('/shared/link', 'w')"),
    (4, "hardlink a host file", "os.link('/etc/hosts', '/tmp/h')", "os.link('/code/actor.py', '/shared/h')"),
    (
        5,
        "other ways to a root",
        *(f"same_root('{way}')" for way in ("/..", "/proc/self/root", "/tmp/../..", "/proc/1/root")),
    ),
    (6, "openat by a descriptor", *(f"os.open('../etc/shadow', 0, dir_fd={number})" for number in range(10))),
    (7, "nested chroot", "chroot_escape()", "os.chroot('/')"),
    (
        8,
        "change a read-only file",
        "os.rename('/code/actor.py', '/code/x')",
        "os.truncate('/code/actor.py', 0)",
        "os.chmod('/code/actor.py', 0o777)",
        "os.utime('/code/actor.py')",
        "os.unlink('/code/actor.py')",
        "os.setxattr('/code/actor.py', 'user.x', b'x')",
    ),
    (
        9,
        "make a device",
        "os.mknod('/tmp/d', 0o60600, os.makedev(254, 0))",
        "os.mknod('/tmp/d', 0o20600, os.makedev(1, 1))",
    ),
    (
        10,
        "write to proc",
        "write('/proc/sys/kernel/core_pattern')",
        "write('/proc/sysrq-trigger')",
        "write('/proc/sys/kernel/hostname')",
        "write('/proc/sys/user/max_user_namespaces', '9')",
    ),
    (
        11,
        "spare itself from the OOM killer",
        "write('/proc/self/oom_score_adj', '-1000')",
        "write('/proc/1/oom_score_adj', '1000')",
    ),
    (
        12,
        "its own cgroup's limits",
        "os.listdir('/sys/fs/cgroup')",
        "call('mount', b'x', b'/tmp', b'cgroup2', 0, None)",
        "call('mount', b'x', b'/tmp', b'cgroup', 0, b'memory')",
    ),
    (
        13,
        "mount",
        "call('mount', b'x', b'/tmp', b'tmpfs', 0, None)",
        "call('umount2', b'/tmp', 2)",
        "call('fsopen', b'tmpfs', 0)",
        "call('open_tree', -100, b'/', 1)",
        "call('move_mount', -100, b'/tmp', -100, b'/dev/shm', 0)",
        "call('pivot_root', b'/tmp', b'/tmp')",
        "call('mount_setattr', -100, b'/', 0, bytes(32), 32)",
    ),
    (
        14,
        "new namespaces",
        *(f"call('unshare', {flag})" for flag in (0x10000000, 0x20000000, 0x20000, 0x40000000)),
        "call('clone', 0x10000011, 0, 0, 0, 0)",
        "call('clone', 0x20000011, 0, 0, 0, 0)",
        "call('clone3', bytes(64), 64)",
    ),
    (
        15,
        "join namespaces",
        *(f"set_namespace('/proc/{pid}/ns/{kind}')" for pid in (1, "self") for kind in ("mnt", "net", "user")),
    ),
    (16, "setuid programs", "find_privileges()", "run_setuid_copy()"),
    (
        17,
        "become root",
        "os.setuid(0)",
        "os.setresuid(0, 0, 0)",
        "os.setgid(0)",
        "os.setgroups([0])",
        "call('capset', struct_capset(), b'\\xff' * 24)",
    ),
    (
        18,
        "trace",
        "call('ptrace', 16, 1, 0, 0)",
        "call('ptrace', 0, 0, 0, 0)",
        "call('process_vm_readv', 1, None, 0, None, 0, 0)",
        "call('process_vm_writev', 1, None, 0, None, 0, 0)",
        "open('/proc/1/mem', 'r+b')",
    ),
    (19, "take a descriptor", "steal_descriptor(1)"),
    (
        20,
        "kill others",
        "os.kill(-1, 9)",
        "os.kill(1, 9)",
        "os.kill(os.getppid() or 1, 19)",
        "os.kill({pid}, 9)",
        "os.killpg(1, 9)",
    ),
    (
        21,
        "look into the parent",
        *(f"open('/proc/1/{file}', 'rb').read()" for file in ("environ", "maps", "stack", "auxv")),
        "os.listdir('/proc/1/fd')",
        "os.readlink('/proc/1/exe')",
        "os.readlink('/proc/1/cwd')",
        "open('/proc/{pid}/cmdline')",
    ),
    (22, "fork bomb", "fork_many(1000)"),
    (23, "thread bomb", "start_threads(1000)"),
    (25, "fill scratch space", "fill('/tmp/a', 64 << 20)", "fill('/dev/shm/a', 64 << 20)"),
    (27, "lock memory", "call('mlock', mmap_address(8 << 20), 8 << 20)", "mmap.mmap(-1, 1 << 46)"),
    (28, "descriptor bomb", "[os.open('/dev/null', 0) for _ in range(5000)]"),
    (29, "inode bomb", "touch_many('/tmp', 100_000)"),
    (35, "TCP out", "connect('192.0.2.1', 80)", "connect('2001:db8::1', 80)", "connect('1.1.1.1', 443)"),
    (
        36,
        "other transports",
        "socket.socket(2, 1, 262)",
        "socket.socket(10, 1, 262)",
        "socket.socket(2, 1, 132)",
        "socket.socket(2, 5, 132)",
        "socket.socket(2, 6, 33)",
        "socket.socket(2, 2, 136)",
    ),
    (
        37,
        "UDP and names",
        "send_udp('192.0.2.1', 53)",
        "send_udp('1.1.1.1', 53)",
        "socket.getaddrinfo('example.com', 80)",
    ),
    (
        38,
        "raw sockets",
        "socket.socket(2, 3, 1)",
        "socket.socket(2, 2, 1)",
        "socket.socket(10, 3, 58)",
        "socket.socket(17, 3, 0)",
    ),
    (39, "metadata service", "connect('169.254.169.254', 80)"),
    (40, "abstract socket", "connect_unix('\\0{abstract}')"),
    (
        41,
        "sockets by path",
        "connect_unix('{host}/socket')",
        "connect_unix('/run/docker.sock')",
        "connect_unix('/run/dbus/system_bus_socket')",
        "connect_unix('/proc/1/root{host}/socket')",
    ),
    (
        42,
        "other families",
        "socket.socket(40, 1)",
        "socket.socket(38, 5)",
        "socket.socket(16, 3, 0)",
        "socket.socket(16, 3, 15)",
        "socket.socket(44, 3)",
        "socket.socket(30, 1)",
    ),
    (
        43,
        "loopback of the host",
        "connect('127.0.0.1', {port})",
        "connect('localhost', {port})",
        "connect('::1', {port})",
    ),
    (
        44,
        "keyrings",
        "call('add_key', b'user', b'x', b'x', 1, -3)",
        "call('keyctl', 0, -3, 1)",
        "call('request_key', b'user', b'x', None, -3)",
    ),
    (45, "bpf and perf", "call('bpf', 0, bytes(128), 128)", "call('perf_event_open', bytes(128), 0, -1, -1, 0)"),
    (46, "io_uring", "call('io_uring_setup', 8, bytes(120))", "call('io_uring_enter', 0, 0, 0, 0)"),
    (47, "userfaultfd", "call('userfaultfd', 1)", "open('/dev/userfaultfd')"),
    (
        48,
        "the machine",
        "call('kexec_load', 0, 0, None, 0)",
        "call('init_module', b'', 0, b'')",
        "call('finit_module', 0, b'', 0)",
        "call('delete_module', b'x', 0)",
        "call('reboot', 0, 0, 0, None)",
        "call('swapon', b'/tmp/x', 0)",
    ),
    (
        49,
        "type into a terminal",
        "fcntl.ioctl(0, 0x5412, b'x')",
        "fcntl.ioctl(1, 0x541C, b'x')",
        "open('/dev/tty')",
        "open('/dev/console')",
    ),
    (
        50,
        "set the clock",
        "time.clock_settime(time.CLOCK_REALTIME, 0)",
        "call('settimeofday', bytes(16), None)",
        "call('adjtimex', bytes(208))",
    ),
    (
        51,
        "files by handle",
        "call('open_by_handle_at', -100, bytes(8), 0)",
        "call('name_to_handle_at', -100, b'/', bytes(136), bytes(4), 0)",
    ),
    (52, "personality", "call('personality', 0x0040000)"),
    (
        53,
        "shared memory of a sibling",
        "call('shmget', {key}, 4096, 0)",
        "call('mq_open', b'isolane-canary', 0, 0, None)",
        "open('/dev/shm/canary')",
    ),
    (
        54,
        "lease on a shared file",
        "fcntl.fcntl(os.open('/code/actor.py', 0), fcntl.F_SETLEASE, fcntl.F_WRLCK)",
        "fcntl.fcntl(os.open('/code/actor.py', 0), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    ),
    (
        54,
        "hint on a shared file",
        "fcntl.fcntl(os.open('/code/actor.py', 0), 1036, (3).to_bytes(8, 'little'))",
        "fcntl.fcntl(os.open('/code/actor.py', 0), 1038, (3).to_bytes(8, 'little'))",
        "fcntl.fcntl(os.open('/tmp', 0), 1036, (3).to_bytes(8, 'little'))",
    ),
    (55, "speak on the control socket", *(f"os.write({number}, b'{{}}')" for number in range(4, 64))),
    (
        71,
        "code for later",
        "write(os.path.dirname(os.__file__) + '/sitecustomize.py')",
        "write('/code/actor.pyc')",
        "os.makedirs('/code/__pycache__/x')",
        "os.makedirs(os.path.expanduser('~root/.local'))",
    ),
    *denied_calls.AT_FULL,
]


#: A zygote may enter namespaces, but has descriptors of its own only; and kill(-1) gives 0 if it reached nobody.
CONTAINED_IN_A_ZYGOTE = (15, 20)


def ids(rows):
    return [f"{row[0]:02}-{row[1].replace(' ', '-')}" for row in rows]


def assert_denied(expressions, answers):
    for expression, answer in zip(expressions, answers, strict=True):
        assert "value" not in answer, f"{expression} gave {answer['value']}"
        assert answer["errno"] is not None, f"{expression}: {answer['error']}"


@pytest_asyncio.fixture(loop_scope="module")
async def arena(lasting_arena):
    """One for all rows, looked at after each."""
    lasting_arena.begin()
    yield lasting_arena
    await lasting_arena.assert_unharmed()


@pytest.mark.parametrize("row", DENIED, ids=ids(DENIED))
async def test_while_the_task_runs(arena, actor, row):
    expressions = arena.filled(row[2:])
    confined = await arena.launch("attacks:evaluate")

    answers = []
    for expression in [*expressions, "1 + 1"]:
        await confined.send({"eval": expression})
        async with asyncio.timeout(30):
            answers.append(await confined.receive())

    assert answers.pop() == {"value": "2"}
    assert_denied(expressions, answers)
    confined.kill()
    await actor.finish(confined)


@pytest.mark.parametrize("row", DENIED, ids=ids(DENIED))
async def test_while_the_module_is_imported(arena, actor, row):
    expressions = arena.filled(row[2:])
    spec = arena.spec("at_import:nothing", environment={"ATTACKS": json.dumps(expressions)})

    if arena.warm:
        unfit = await arena.sandbox.warm_up(spec)  # what the attacks leave behind may make it so
        assert not unfit or unfit.startswith(("opened", "wrote", "started", "made", "went to")), unfit
    else:
        ended = await actor.finish(await arena.sandbox.launch(spec))
        assert ended.outcome.exit_code == 0, ended.stderr

    if arena.warm and row[0] in CONTAINED_IN_A_ZYGOTE:
        return  # what it reached is looked at after each test
    assert_denied(expressions, json.loads((arena.work / "answers").read_text()))
