"""One task for each way to end, to see what isolane makes of it: `isolane schedule endings.segfault --wait`."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

from runner import Retry, task

ending = {"timeout": "3s", "memory": "128MB", "retry": Retry(attempts=2, first="100ms", jitter=0)}


@task(**ending)
def returns():
    return {"well": True}


@task(**ending)
def raises():
    raise ValueError("this is the task's own error: an answer, so it is not tried again")


@task(**ending)
def returns_no_json():
    return {"when": {1, 2, 3}}


@task(**ending)
def exits():
    sys.exit(0)


@task(**ending)
def exits_hard():
    os._exit(1)


@task(**ending)
def segfault():
    ctypes.string_at(0)


@task(**ending)
def kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)


@task(**ending)
def hangs_up():
    os.closerange(3, 1000)
    time.sleep(60)


@task(**ending)
def eats_memory():
    hoard = []
    while True:
        hoard.append(bytearray(8 << 20))


@task(**ending)
def eats_memory_in_a_child():
    subprocess.run([sys.executable, "-c", "hoard = []\nwhile True: hoard.append(bytearray(8 << 20))"], check=False)


@task(**ending)
def sleeps():
    time.sleep(3600)


@task(**ending)
def spins():
    while True:
        pass


@task(**ending)
def ignores_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


@task(**ending)
def stops_itself():
    os.kill(os.getpid(), signal.SIGSTOP)


@task(**ending)
def leaves_a_daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(3600)
        os._exit(0)
    return "the daemon that I left holds my output, and dies with me"


@task(**ending)
def leaves_a_thread():
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return "the thread that I left is gone with me"
