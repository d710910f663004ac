"""What the attacks of the table are made of; used by `evaluate`, and by `at_import` while that is imported."""

# ruff: noqa: PTH123, F401, F403, F405 - written close to the calls that it makes
import atexit
import errno
import fcntl
import json
import mmap
import pickle
import platform
import re
import resource
import stat
import struct

from actor import *

from sandbox.kernel.calls import CALLS

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_NUMBERS = {call.name: call.x86_64 if platform.machine() == "x86_64" else call.aarch64 for call in CALLS}


def call(name, *arguments):
    """A system call, past whatever the C library thinks of it."""
    if (number := _NUMBERS[name]) is None:
        raise OSError(errno.ENOSYS, f"there is no {name} here")
    return checked(_libc.syscall(ctypes.c_long(number), *map(_as_word, arguments)))


def _as_word(value):
    return ctypes.c_long(value) if isinstance(value, int) else value


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def made(name, folder=""):
    """The path of a file that is there."""
    open(os.path.join(folder, name), "w").close()
    return name


def in_thread(function, *arguments):
    """What it gives, or raises, in a thread of its own."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def ended(process):
    """How a child ends that is asked to."""
    process.terminate()
    return process.wait()


def run(*command):
    """Its output; an OSError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise OSError(done.returncode, done.stderr)
    return done.stdout


def run_setuid_copy():
    """Whether a setuid program of one's own gives another user."""
    import shutil

    shutil.copy("/usr/bin/env", "/tmp/env")
    os.chmod("/tmp/env", 0o6755)
    uid = int(run("/tmp/env", "/usr/bin/id", "-u"))
    os.unlink("/tmp/env")
    if uid == os.getuid():
        raise OSError(1, "no other user")
    return uid


def touch_many(folder, count):
    for number in range(count):
        open(f"{folder}/{number}", "w").close()


def start_threads(count):
    """As many threads as are to be had; an OSError when there is no more."""
    stop = threading.Event()
    threads = []
    try:
        for _ in range(count):
            threads.append(threading.Thread(target=stop.wait))
            threads[-1].start()
    except RuntimeError as error:
        raise OSError(11, str(error)) from error
    finally:
        stop.set()
        for thread in threads[:-1]:
            thread.join()
    return count


def fork_many(count):
    children = []
    try:
        for _ in range(count):
            if (child := os.fork()) == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return count


def connect_unix(address):
    with socket.socket(socket.AF_UNIX) as stream:
        if len(address) > 107:  # what an address holds; by its folder it is within reach all the same
            folder, name = os.path.split(address)
            address = f"/proc/self/fd/{os.open(folder, os.O_PATH)}/{name}"
        stream.connect(address)


def send_udp(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        return datagrams.sendto(b"x", (address, port))


def set_namespace(path):
    file = os.open(path, os.O_RDONLY)
    try:
        call("setns", file, 0)
    finally:
        os.close(file)


def steal_descriptor(pid):
    pidfd = os.pidfd_open(pid)
    try:
        return call("pidfd_getfd", pidfd, 0, 0)
    finally:
        os.close(pidfd)


def find_privileges():
    """Setuid programs of the system, run."""
    for program in ("su", "mount", "passwd"):
        if os.path.exists(f"/usr/bin/{program}"):
            break
    return run(f"/usr/bin/{program}", "-c", "id -u") if program == "su" else run(f"/usr/bin/{program}", "-S", "x")


def same_root(path):
    """What is at `path`, if it is another root than the one that is seen."""
    if os.stat(path).st_ino == os.stat("/").st_ino and os.listdir(path) == os.listdir("/"):
        raise OSError(2, "only the root that is seen")
    return os.listdir(path)


def hold_gil():
    re.match(r"(a+)+$", "a" * 60 + "b")


def ignore_all_signals():
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def send_raw(data):
    channel = socket.socket(fileno=os.dup(3))
    channel.sendall(data)
    return "sent"


def run_i386():
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, getpid; int 0x80; ret
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def overflow_stack():
    sys.setrecursionlimit(1 << 30)
    nested = []
    for _ in range(1_000_000):
        nested = [nested]
    # In a small stack: from 3.12 on Python counts how deep C is, and stops long before a large one is full.
    threading.stack_size(64 << 10)
    overflowing = threading.Thread(target=repr, args=(nested,))
    overflowing.start()
    overflowing.join()
    os._exit(0)  # it did not


def hold_stdout():
    """A daemon that keeps the pipes open."""
    ready_in, ready_out = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(ready_out, b"x")
            signal.pause()
        os._exit(0)
    os.read(ready_in, 1)
    return "left"


def look_like_the_runner():
    _libc.prctl(15, b"isolane", 0, 0, 0)
    signal.pause()


def evaluate(channel):
    """As the actor's, with what is in this module too."""
    while (frame := channel.receive()) is not None:
        channel.send(answer(frame["eval"]))


def answer(expression):
    try:
        return {"value": repr(eval(expression, globals()))}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}", "errno": getattr(error, "errno", None)}


def struct_capset():
    return (0x20080522).to_bytes(4, "little") + bytes(4)


def mmap_address(size):
    memory = mmap.mmap(-1, size)
    _kept.append(memory)
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


_kept = []


def frame(body):
    return len(body).to_bytes(4, "big") + body


FRAMES = {
    "oversized": b"\xff\xff\xff\xff",
    "partial": b"\x00\x00\x00\x20{",
    "binary": frame(b"\xff\xfe\x00\x01"),
    "not-a-number": frame(b'{"a":NaN}'),
    "deep": frame(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "surrogate": frame(b'{"a":"\\ud800"}'),
    "pickle": frame(pickle.dumps({"a": 1})),
    "forged": frame(b'{"type":"response","result":"forged"}'),
}
