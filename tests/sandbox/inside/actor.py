"""What the tests run confined. Each function is an entry; most send one frame with what they found."""

# ruff: noqa: PTH102, PTH116, PTH123, PTH208 - written close to the calls that it makes
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path


def nothing(channel):
    pass


def evaluate(channel):
    """Answer each {"eval": expression} with its value, or the error that it raised."""
    while (frame := channel.receive()) is not None:
        try:
            value = eval(frame["eval"], globals())
            channel.send({"value": value})
        except BaseException as error:
            channel.send({"error": type(error).__name__, "errno": getattr(error, "errno", None)})


def raise_error(channel):
    raise ValueError("as it should")


def exit_with_three(channel):
    sys.exit(3)


def segfault(channel):
    ctypes.string_at(0)


def kill_itself(channel):
    os.kill(os.getpid(), signal.SIGKILL)


def stop_itself(channel):
    channel.send({})
    os.kill(os.getpid(), signal.SIGSTOP)


def ignore_sigterm(channel):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    channel.send({})
    signal.sigwait({signal.SIGTERM})
    channel.send({"got": "SIGTERM"})
    signal.pause()


def sleep(channel):
    channel.send({})
    signal.pause()


def leave_a_daemon(channel):
    """Fork twice into a session of its own, with a lock in the mounted folder as a sign of life."""
    ready_in, ready_out = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            lock = os.open(os.environ["WORK"] + "/daemon.lock", os.O_RDWR | os.O_CREAT)
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.write(ready_out, b"x")
            signal.pause()
        os._exit(0)
    os.read(ready_in, 1)
    channel.send({})


def leave_a_thread(channel):
    threading.Thread(target=signal.pause).start()


def bomb_memory(channel):
    hoard = []
    while True:
        hoard.append(bytearray(b"x" * (8 << 20)))


def bomb_memory_in_a_child(channel):
    subprocess.run([sys.executable, "-c", "h=[]\nwhile True: h.append(bytearray(b'x'*(8<<20)))"], check=False)
    channel.send({"survived": True})
    signal.pause()


def bomb_processes(channel):
    made = 0
    try:
        while True:
            if os.fork() == 0:
                signal.pause()
            made += 1
    except OSError as error:
        channel.send({"made": made, "errno": error.errno})


def send_garbage(channel):
    channel._stream.sendall(b"\x00\x00\x00\x04what")


def send_oversize(channel):
    channel._stream.sendall(b"\xff\xff\xff\xff")


def send_half_a_frame(channel):
    channel._stream.sendall(b'\x00\x00\x00\x20{"half":')


def send_and_die(channel):
    for number in range(100):
        channel.send({"number": number})
    os.kill(os.getpid(), signal.SIGKILL)


def flood(channel):
    channel.send({"ready": True})
    channel._stream.settimeout(0.2)
    sent = 0
    try:
        while True:
            sent += channel._stream.send(b"\x00\x00\x00\x02{}" * 1000)
    except TimeoutError:
        os.write(1, str(sent).encode())


def echo(channel):
    while (frame := channel.receive()) is not None:
        channel.send(frame)


def descriptors():
    listing = os.listdir("/proc/self/fd")
    return sorted(int(name) for name in listing if Path(f"/proc/self/fd/{name}").exists() or int(name) <= 3)


def status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return line.split(":", 1)[1].strip()
    return None


def visible_pids():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def connect(address, port):
    with socket.create_connection((address, port), timeout=2):
        return True


def fill(path, size):
    with open(path, "wb") as file:
        file.writelines(bytes(1 << 20) for _ in range(size >> 20))


def write(path, text="x"):
    Path(path).write_text(text)
    return os.stat(path).st_uid


def lock(path):
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def unshare_user():
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def chroot_escape():
    os.mkdir("/tmp/jail")
    os.chroot("/tmp/jail")


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def open_to(address, port):
    return socket.create_connection((address, port), timeout=15)


kept = []


def keep(value):
    kept.append(value)
    return True


def error_of(call):
    try:
        call()
    except Exception as error:
        return str(error)


def tls_to(name, port, authority):
    import ssl

    context = ssl.create_default_context(cadata=authority)
    with open_to(name, port) as plain, context.wrap_socket(plain, server_hostname=name) as private:
        return private.makefile("rb").read().decode()


def echo_much(address, port, size):
    """Whether so many bytes, sent while they come back, come back as they were."""
    data = os.urandom(1 << 16) * (size >> 16)
    with open_to(address, port) as connection:

        def send():
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        came = connection.makefile("rb").read()
        sending.join()
    return came == data


def flood_to(address, port, size):
    """How much somebody takes who does not read."""
    connection = open_to(address, port)
    kept.append(connection)
    connection.settimeout(1)
    sent = 0
    try:
        while sent < size:
            sent += connection.send(bytes(1 << 16))
    except TimeoutError:
        pass
    return sent


def ask_for(port):
    with open_to("localhost", port) as connection:
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read().decode()


def at_once(count, call):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(count)]]
