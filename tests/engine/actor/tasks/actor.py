"""One task whose parameter `way` picks how it ends."""

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from runner import task


class HostileError(Exception):
    def __str__(self):
        raise SystemExit(3)

    __repr__ = __str__


def channel():
    """The attempt's own channel, found the way an attacker would."""
    for number in range(3, 100):
        try:
            return socket.socket(fileno=os.dup(number))
        except OSError:
            continue
    raise RuntimeError("no channel")


def send(document):
    body = json.dumps(document).encode()
    channel().sendall(struct.pack(">I", len(body)) + body)


def recurse():
    return recurse()


def hoard():
    kept = []
    while True:
        kept.append(bytearray(4 << 20))


def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open("/shared/daemon", "w") as file:
                file.write("alive")
            time.sleep(3600)
        os._exit(0)
    while not os.path.exists("/shared/daemon"):
        pass
    return "left"


def ignore_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def spin():
    while True:
        pass


def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


def raising(error):
    raise error


def two_results():
    send({"type": "response", "result": "first"})
    send({"type": "response", "result": "second"})
    return "third"


def garbage_after_result():
    send({"type": "response", "result": "first"})
    channel().sendall(b"\xff" * 100)


def garbage():
    channel().sendall(struct.pack(">I", 5) + b"{nan}")
    time.sleep(3600)


def oversized():
    channel().sendall(struct.pack(">I", 0xFFFFFFFF))
    time.sleep(3600)


def close_channel():
    os.closerange(3, 1000)
    time.sleep(3600)


WAYS = {
    "returns": lambda: {"well": [1, 2.5, None, "é"]},
    "returns nothing": lambda: None,
    "raises": lambda: raising(ValueError("on purpose")),
    "raises hostile": lambda: raising(HostileError()),
    "recurses": recurse,
    "returns a set": lambda: {"deep": [{1, 2}]},
    "returns nan": lambda: [float("nan")],
    "returns a surrogate": lambda: "\ud800",
    "returns too deep": deep,
    "returns too much": lambda: "x" * 2_000_000,
    "sys.exit": lambda: sys.exit(0),
    "os._exit(0)": lambda: os._exit(0),
    "os._exit(1)": lambda: os._exit(1),
    "segfault": lambda: ctypes.string_at(0),
    "kills itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "closes its channel": close_channel,
    "garbage": garbage,
    "oversized": oversized,
    "unknown message": lambda: (send({"type": "surprise"}), time.sleep(3600)),
    "two results": two_results,
    "garbage after a result": garbage_after_result,
    "hoards": hoard,
    "hoards in a child": lambda: (
        subprocess.run(
            [sys.executable, "-c", "kept = []\nwhile True: kept.append(bytearray(4 << 20))"], check=False
        ).returncode
    ),
    "memory error": lambda: raising(MemoryError()),
    "sleeps": lambda: time.sleep(3600),
    "spins": spin,
    "ignores sigterm": ignore_sigterm,
    "stops itself": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "leaves a daemon": daemon,
    "leaves a thread": lambda: threading.Thread(target=time.sleep, args=(3600,)).start(),
}


@task
def run_as(parameters):
    return WAYS[parameters["way"]]()


@task
def well():
    return "well"
