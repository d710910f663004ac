"""What the tests of stand-alone use run: functions with JSON in and out."""

# ruff: noqa: PTH109, PTH120, PTH208 - written close to the calls that it makes
import asyncio
import logging.handlers
import os
import signal
import socket
import subprocess
import sys
import threading
import time


class Arithmetic:
    @staticmethod
    def add(a, b=0):
        return a + b


def echo(*values, **named):
    return [values, named]


async def later(value):
    await asyncio.sleep(0)
    return value


def facts():
    return {
        "modules": sorted(sys.modules),
        "environment": dict(os.environ),
        "folder": os.listdir(os.path.dirname(__file__)),
        "cwd": os.getcwd(),
        "host": socket.gethostname(),
    }


def say(text, times=1, stream="stdout"):
    for _ in range(times):
        getattr(sys, stream).write(text)


def read_input():
    return sys.stdin.read()


def fail(message):
    raise ValueError(message)


class HostileError(Exception):
    def __str__(self):
        raise SystemExit


def fail_in_a_hostile_way():
    raise HostileError


def return_itself():
    return return_itself


def forge(frame):
    """Send bytes of one's own making."""
    os.write(3, bytes(frame))
    signal.pause()


def hang():
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    while True:
        time.sleep(60)


def leave_a_thread():
    threading.Thread(target=hang).start()
    return "returned"


def leave_a_child():
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]).pid


async def leave_an_executor_at_work():
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    return "returned"


def return_twice():
    if child := os.fork():
        os.waitpid(child, 0)
    return "parent" if child else "child"


def log_in_the_end():
    logging.getLogger().addHandler(logging.handlers.MemoryHandler(100, target=logging.StreamHandler()))
    logging.getLogger(__name__).warning("logged")


def interrupt_itself():
    raise KeyboardInterrupt


def close_the_streams():
    sys.stdout.close()
    sys.stderr = None
    return "returned"


def return_much(size):
    return "x" * size


def exit_with(code):
    sys.exit(code)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def hoard(megabytes, processes=1):
    for _ in range(processes - 1):
        if os.fork() == 0:
            break
    kept = [bytearray(b"x" * (1 << 20)) for _ in range(megabytes)]
    signal.pause()
    return len(kept)


def import_helper():
    import helper  # it lies beside this file

    return helper.__name__


def ask(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        return connection.recv(100).decode()


def start_a_sandbox():
    """Within a sandbox no level full can be had."""
    from sandbox import Level, Sandbox

    with Sandbox(level=Level.FULL):
        pass
