"""What programs do every day, and has to go on working under the filter: each function raises if it does not.

In its working folder it may write. `EVERYWHERE` needs no namespaces, `AT_FULL` does: semaphores, modes, sockets.
"""

# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH116, PTH123, PTH211 - written close to the calls that it makes
import asyncio
import contextlib
import fcntl
import io
import mmap
import multiprocessing
import os
import resource
import select
import selectors
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile


def everywhere(channel):
    channel.send({"failed": _failed(EVERYWHERE)})


def at_full(channel):
    channel.send({"failed": _failed(EVERYWHERE + AT_FULL)})


def _failed(functions):
    failed = {}
    for function in functions:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            try:
                function()
            except BaseException as error:
                failed[function.__name__] = f"{type(error).__name__}: {error}"
    return failed


def children():
    assert subprocess.run(["cat"], input=b"7", capture_output=True, check=True).stdout == b"7"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    child.stdin.close()
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]) == 0


def threads():
    lock, total = threading.Lock(), []
    workers = [threading.Thread(target=lambda: lock.acquire() and (total.append(1), lock.release())) for _ in range(8)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert len(total) == 8


def event_loops():
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        output, _ = await process.communicate(b"x")
        assert output == b"x"
        assert await asyncio.to_thread(len, "abc") == 3

    asyncio.run(main())


def databases():
    for mode in ("delete", "wal"):
        base = sqlite3.connect(f"{mode}.db")
        base.execute(f"pragma journal_mode={mode}")
        with base:
            base.execute("create table t (a)")
            base.executemany("insert into t values (?)", [(number,) for number in range(100)])
        assert base.execute("select count(*) from t").fetchone() == (100,)
        base.close()


def files():
    with open("a", "w+b") as file:
        file.write(b"x" * 8192)
        file.flush()
        os.fsync(file.fileno())
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        with mmap.mmap(file.fileno(), 0) as mapped:
            mapped[:1] = b"y"
        with open("b", "wb") as other:
            assert os.sendfile(other.fileno(), file.fileno(), 0, 8192) == 8192
        os.posix_fallocate(file.fileno(), 0, 16384)
    os.rename("b", "c")
    os.link("c", "d")
    os.symlink("c", "e")
    os.utime("c", (1, 1))
    os.truncate("c", 10)
    shutil.copyfile("c", "f")
    os.mkfifo("pipe")
    os.makedirs("deep/er", mode=0o700)
    shutil.move("deep", "deeper")
    shutil.rmtree("deeper")
    os.sync()


def itself():
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    resource.setrlimit(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE))
    os.nice(0)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.raise_signal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert os.sysconf("SC_PHYS_PAGES") > 0
    time.sleep(0.001)


def waiting():
    near, far = socket.socketpair()
    with selectors.DefaultSelector() as selector:
        selector.register(far, selectors.EVENT_READ)
        near.send(b"x")
        assert selector.select(1)
    near.close()
    far.close()
    with contextlib.suppress(OSError):  # where no cgroup counts its memory there is none
        os.close(os.memfd_create("x"))
    os.close(os.eventfd(0))


def watches():
    near, far = socket.socketpair()
    with near, far, select.epoll() as poller:
        poller.register(far, select.EPOLLIN)
        near.send(b"x")
        assert poller.poll(1)


def imports():
    import ctypes
    import decimal
    import hashlib
    import ssl
    import uuid
    import zoneinfo

    ssl.create_default_context()
    assert hashlib.sha256(b"").hexdigest()[:4] == "e3b0"
    assert uuid.uuid4() != uuid.uuid1()
    assert ctypes.CDLL(None).getpid() == os.getpid()
    assert decimal.Decimal(1) == 1
    assert zoneinfo.ZoneInfo("UTC")


def modes():
    open("a", "w").close()
    os.chmod("a", 0o755)
    os.mkdir("shared", 0o1777)
    shutil.copy2("a", "b")
    shutil.copytree("shared", "other")
    assert os.stat("b").st_mode & 0o7777 == 0o755
    os.chown("a", os.getuid(), os.getgid())


def archives():
    open("program", "w").close()
    os.chmod("program", 0o755)
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.write("program")
    with tarfile.open("a.tar.gz", "w:gz") as archive:
        archive.add("program")
        set_uid = tarfile.TarInfo("set-uid")
        set_uid.mode = 0o4755
        archive.addfile(set_uid, io.BytesIO())
    with zipfile.ZipFile("a.zip") as archive:
        archive.extractall("zip")
    with tarfile.open("a.tar.gz") as archive:
        archive.extractall("tar", filter="data")
    assert os.stat("tar/program").st_mode & 0o7777 == 0o755
    assert os.stat("tar/set-uid").st_mode & 0o7000 == 0


def sockets():
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen()
        client.connect("socket")
        connection, _ = server.accept()
        with connection:
            connection.setblocking(False)
            client.sendall(b"x")
            assert select.select([connection], [], [], 1)[0]
            assert connection.recv(1) == b"x"


def _square(number):
    return number * number


def processes():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            assert pool.map(abs, [-1, 2]) == [1, 2]
        queue, lock, value = context.Queue(), context.Lock(), context.Value("i", 0)
        child = context.Process(target=queue.put, args=(7,))
        child.start()
        assert queue.get(timeout=10) == 7
        child.join()
        with lock:
            value.value += 1


def others():
    """Other processes of its own, by their pids."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    os.setpriority(os.PRIO_PROCESS, child.pid, 5)
    os.sched_setaffinity(child.pid, os.sched_getaffinity(os.getpid()))
    resource.prlimit(child.pid, resource.RLIMIT_CORE, (0, 0))
    resource.prlimit(os.getpid(), resource.RLIMIT_CORE)
    child.communicate(b"\n")


def numbers():
    try:
        import numpy as np
    except ImportError:
        return
    assert (np.ones((200, 200)) @ np.ones((200, 200)))[0, 0] == 200
    mapped = np.memmap("m", dtype="i4", mode="w+", shape=(10,))
    mapped[:] = 1
    mapped.flush()


EVERYWHERE = [children, threads, event_loops, databases, files, itself, waiting, imports, numbers]
AT_FULL = [modes, archives, sockets, processes, others, watches]
