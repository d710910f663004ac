"""Row 87 of the attack table: of all that an attempt does, nothing is there for another of its zygote.

Looked at are the objects of each namespace, and the attributes of whatever the attempts share or have in turn.
"""

from __future__ import annotations

import pytest

from support.warm import importing, is_warm, need_zygotes

pytestmark = pytest.mark.usefixtures("who")


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path):
    need_zygotes(tmp_path)


#: What is looked at, as expressions. Where the host counts in the same file, only what is the namespace's.
LOOKS = {
    "flags of stdin": "fcntl.fcntl(0, fcntl.F_GETFL)",
    "signal of stdin": "fcntl.fcntl(0, 11)",  # F_GETSIG
    "owner of stdin": "fcntl.fcntl(0, fcntl.F_GETOWN)",
    "place in stdin": "os.lseek(0, 0, os.SEEK_CUR)",
    "descriptors": "descriptors()",
    "flags of the others": "[fcntl.fcntl(number, fcntl.F_GETFL) for number in (1, 2, 3)]",
    "owners of the others": "[fcntl.fcntl(number, fcntl.F_GETOWN) for number in (1, 2, 3)]",
    "packets of IPv4": "open('/proc/net/snmp').read()",
    "packets of IPv6": "open('/proc/net/snmp6').read() if os.path.exists('/proc/net/snmp6') else ''",
    "labels of flows": ("open('/proc/net/ip6_flowlabel').read() if os.path.exists('/proc/net/ip6_flowlabel') else ''"),
    "sockets by name": "[line for line in open('/proc/net/unix') if '@' in line]",
    "sockets": "open('/proc/net/sockstat').readline()",
    "sockets of UDP": "open('/proc/net/udp').read() + open('/proc/net/udp6').read()",
    "room in scratch space": "[os.statvfs(place).f_bfree for place in ('/tmp', '/dev/shm')]",
    "files in scratch space": "[os.statvfs(place).f_ffree for place in ('/tmp', '/dev/shm')]",
    "names in scratch space": "os.listdir('/tmp') + os.listdir('/dev/shm')",
    "System V IPC": "[open(f'/proc/sysvipc/{kind}').read() for kind in ('msg', 'sem', 'shm')]",
    "POSIX message queues": "ctypes.CDLL('librt.so.1').mq_open(b'/left', 0)",
    "locks": "[line for line in open('/proc/locks') if 'OFDLCK' not in line]",
    "mounts": "len(open('/proc/self/mountinfo').readlines())",
    "clocks": "open('/proc/self/timens_offsets').read() if os.path.exists('/proc/self/timens_offsets') else ''",
    "host name": "os.uname().nodename",
    "keys": "open('/proc/keys').read() if os.path.exists('/proc/keys') else ''",
    "processes": "len(visible_pids())",
    "pending signals of process 1": "[line for line in open('/proc/1/status') if line.startswith(('Sig', 'Shd'))][1:]",
    "limits of process 1": "resource.prlimit(1, resource.RLIMIT_FSIZE)",
    "priority of process 1": "os.getpriority(os.PRIO_PROCESS, 1)",
    "processors of process 1": "sorted(os.sched_getaffinity(1))",
    "name of process 1": "open('/proc/1/comm').read()",
    "own signals": "[line for line in open('/proc/self/status') if line.startswith(('Sig', 'Shd'))][1:]",
    "own limits": "open('/proc/self/limits').read()",
    "own priority": "os.getpriority(os.PRIO_PROCESS, 0)",
    "own processors": "sorted(os.sched_getaffinity(0))",
    "mode of new files": "(lambda mask: [mask, os.umask(mask)][0])(os.umask(0o022))",
    "own slack of timers": "ctypes.CDLL(None).prctl(30, 0, 0, 0, 0)",
    "shared memory": "[line for line in open('/proc/self/maps') if line.split()[1][1::2] == 'ws']",
}
#: What an attempt does that another could see there. What is refused leaves nothing either.
DEEDS = """
def deeds():
    def stdin():
        fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND | os.O_ASYNC)
        fcntl.fcntl(0, 10, 42)
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    def others():
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        for number in (1, 2, 3):
            fcntl.fcntl(number, fcntl.F_SETFL, os.O_ASYNC)
            fcntl.fcntl(number, fcntl.F_SETOWN, os.getpid())
    def send(family, address):
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for _ in range(100):
                try: sender.sendto(b'x', (address, 9))
                except OSError: pass
    def label():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            address = socket.inet_pton(socket.AF_INET6, '2001:db8::1')
            sender.setsockopt(41, 32, address + struct.pack('!I', 0x4711) + struct.pack('BBHHHI', 0, 255, 3, 60, 60, 0))
    def cycles():
        for number in range(10):
            one, two = socket.socketpair()
            named = socket.socket(socket.AF_UNIX)
            named.bind(f'\\0left-{number}')
            named.listen()
            file = os.open('/tmp', os.O_TMPFILE | os.O_RDWR, 0o600)
            os.write(file, b'x' * 65536)
            socket.send_fds(one, [b'x'], [one.fileno(), two.fileno(), named.fileno(), file])
            os.close(file)
    def files():
        for folder in ('/tmp', '/dev/shm'):
            open(f'{folder}/left', 'w').write('x' * 9999)
    def objects():
        c = ctypes.CDLL(None)
        c.shmget(0x1507A6E, 4096, 0o1666), c.msgget(0x1507A6E, 0o1666), c.semget(0x1507A6E, 1, 0o1666)
        ctypes.CDLL('librt.so.1').mq_open(b'/left', 0o102, 0o666, None)
    def locks():
        kept.append(open('/code/actor.py'))
        fcntl.flock(kept[-1], fcntl.LOCK_SH)
        fcntl.lockf(kept[-1], fcntl.LOCK_SH)
    def signals():
        for number in range(1, 65):
            try: os.kill(1, number)
            except OSError: pass
    def process_1():
        for deed in (
            lambda: resource.prlimit(1, resource.RLIMIT_FSIZE, (4096, 4096)),
            lambda: os.setpriority(os.PRIO_PROCESS, 1, 7),
            lambda: os.setpriority(os.PRIO_USER, 0, 7),
            lambda: os.sched_setaffinity(1, {min(os.sched_getaffinity(1))}),
        ):
            try: deed()
            except OSError: pass
    def itself():
        os.nice(3)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        os.umask(0)
        ctypes.CDLL(None).prctl(29, 12345, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        os.kill(os.getpid(), signal.SIGUSR1)
    def daemon():
        subprocess.run(['/bin/sh', '-c', '/usr/bin/setsid /bin/sleep 600 &'])
    done = {}
    for deed in (stdin, others, lambda: send(socket.AF_INET, '192.0.2.1'), lambda: send(socket.AF_INET6, '2001:db8::1'),
                 label, cycles, files, objects, locks, signals, process_1, daemon, itself):
        try: deed()
        except OSError as error: done[getattr(deed, '__name__', '')] = repr(error)
    return done
"""
_MODULE = f"import ctypes, fcntl, os, resource, signal, socket, struct, subprocess\nkept = []\n{DEEDS}"
_INIT = "os.readlink('/proc/self/ns/pid')"


async def look(ask):
    return {name: str(await ask(expression)) for name, expression in LOOKS.items()}


async def test_87_nothing_that_an_attempt_did_is_there_for_another(sandbox, actor):
    spec = importing(actor.spec("nothing"), _MODULE)
    assert await sandbox.warm_up(spec) == ""
    asked = []

    async def launch():
        confined = await sandbox.launch(spec)
        assert is_warm(confined)
        asked.append(actor.Inside(confined))
        return asked[-1]

    async def end(ask):
        asked.remove(ask)
        ask.confined.kill()
        await actor.finish(ask.confined)

    doer, sibling = await launch(), await launch()
    init = await doer(_INIT)
    expected = await look(doer)
    assert await look(sibling) == expected

    undone = await doer("deeds()")
    changed = {name for name, seen in (await look(doer)).items() if seen != expected[name]}

    assert set(undone) <= {"stdin", "others", "label"}, "what is refused: to own files, and without IPv6 its labels"
    assert changed >= {"own priority", "own limits", "packets of IPv4", "names in scratch space"}
    assert await look(sibling) == expected
    elsewhere = await launch()
    assert await look(elsewhere) == expected
    await end(doer)
    inits = set()
    for _ in range(6):
        successor = await launch()
        inits.add(await successor(_INIT))
        assert await look(successor) == expected
        await end(successor)
    assert init in inits, "nothing was looked at where it was done"
    while asked:
        await end(asked[-1])
