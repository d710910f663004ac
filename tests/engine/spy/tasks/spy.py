"""A task that does with its secrets what it should not."""

import fcntl
import json
import logging
import os
import sys
import termios
import time
from pathlib import Path

from runner import scheduleTask, task

secret = task(secrets=["PASSWORD", "KEY"])


@secret
def measures(parameters, context):
    given = context.secrets
    return {"names": list(given), "lengths": [len(value) for value in given.values()], "shown": repr(given)}


@task
def has_none(parameters, context):
    return context.secrets["PASSWORD"]


@secret
def changes(parameters, context):
    context.secrets["PASSWORD"] = "other"


@secret
def prints(parameters, context):
    password, key = context.secrets["PASSWORD"], context.secrets["KEY"]
    print("it is", password, "and", password)
    print(key, file=sys.stderr)
    print({"it": password}, json.dumps(password), password.encode())
    logging.warning("logged %s", password)
    logging.getLogger(password).error("two\n%s", key)
    for byte in password.encode():
        os.write(1, bytes([byte]))
    os.write(1, b"\n")
    context.progress(0.5, f"trying {password}")


def write_and_wait(output):
    """Write to stdout, and return when all of it was read."""
    os.write(1, output)
    unread = bytearray(8)
    while fcntl.ioctl(1, termios.FIONREAD, unread) or any(unread):
        time.sleep(0.001)


@secret
def prints_long_lines(parameters, context):
    password = context.secrets["PASSWORD"].encode()
    for before in range(16360, 16400):
        write_and_wait(b"x" * before + password[:9])
        write_and_wait(password[9:] + b"x" * 70000 + b"\n")
    os.write(1, b"y" * 16380 + password)


@secret
def raises(parameters, context):
    password = context.secrets["PASSWORD"]
    kind = type("Wrong" + password, (Exception,), {})
    try:
        raise ValueError(password)
    except ValueError:
        raise kind("x" * 8000 + password + "x" * 8000, context.secrets["KEY"])


@secret
def returns(parameters, context):
    return {"deep": [1, {"it": "is " + context.secrets["PASSWORD"]}]}


@secret
def returns_as_key(parameters, context):
    return [{context.secrets["PASSWORD"]: 1}]


@secret
def schedules(parameters, context):
    password = context.secrets["PASSWORD"]
    refused = []
    for options in (
        {"parameters": {"list": [password]}},
        {"parameters": {}, "tags": [password]},
        {"parameters": {}, "idempotency_key": password},
        {"parameters": {}, "queue": password},
        {"parameters": {password: 1}, "with_success": True},
    ):
        try:
            scheduleTask("spy.measures", **options)
        except ValueError as error:
            refused.append(f"{type(error).__name__}: {error}")
    scheduleTask("spy.measures", {"harmless": 1})
    return refused


@secret
def prints_in_disguise(parameters, context):
    print(context.secrets["PASSWORD"][::-1])


@task(secrets=["PASSWORD"], memory="512MB")
def looks_around(parameters, context):
    """Where this process finds what: what it looks for is told with each byte shifted, so that it never holds it."""
    found = set()
    shift = bytes((byte + 1) % 256 for byte in range(256))

    def look(where, data):
        shifted = data.translate(shift)
        found.update(f"{where}: {name}" for name, value in parameters.items() if bytes.fromhex(value) in shifted)

    for pattern in (
        "/proc/[0-9]*/environ",
        "/proc/[0-9]*/cmdline",
        "/code/**/*",
        "/tmp/**/*",
        "/etc/**/*",
        "/data/**/*",
    ):
        for path in Path("/").glob(pattern[1:]):
            try:
                look(path, path.read_bytes())
            except OSError:
                continue
    look("environment", repr(dict(os.environ)).encode())
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in Path("/proc/self/maps").read_text().splitlines():
            edges, rights, *_ = line.split()
            start, end = (int(edge, 16) for edge in edges.split("-"))
            if rights.startswith("rw"):
                for place in range(start, end, 1 << 20):
                    memory.seek(place)
                    look("memory", memory.read(min(end - place, (1 << 20) + 1000)))
    return sorted(found)
