"""Attempts that say more than anybody can listen to: the loop goes on, timeouts come, and others have their turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio

from support.loop_pauses import watched_loop
from support.nodes import Node, running_node
from support.projects import write_project

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

CONFIG = """
[runner]
concurrency = 6
memory = "4GB"
stop_grace = "0s"
[defaults]
timeout = "1s"
memory = "256MB"
[defaults.retry]
attempts = 1
[limits]
result = "{result}"
"""
FLOOD = r"""
import fcntl, json, os, socket, threading

def framed(body):
    return len(body).to_bytes(4, "big") + body

def say(message):
    return framed(json.dumps(message, separators=(",", ":")).encode())

def log(text):
    return say({"type": "log", "level": "INFO", "message": text, "at": 1})

def call(method, **arguments):
    return say({"type": "call", "id": 1, "method": method, "arguments": arguments})

def long(kind, inside, size):
    begins = {
        "response": b'{"type":"response","result":[',
        "call": b'{"type":"call","id":1,"method":"schedule","arguments":{"runs":[{"task":"flood.honest",'
                b'"parameters":{"a":[',
        "log": b'{"type":"log","level":"INFO","at":1,"message":"x","more":[',
        "progress": b'{"type":"progress","fraction":0,"text":"x","more":[',
        "none": b'{"what":[',
    }[kind]
    closes = {"call": b"]}}]}}"}.get(kind, b"]}")
    return framed(begins + inside * ((size - len(begins) - len(closes)) // len(inside)) + inside.rstrip(b",") + closes)

NESTED = b"[" * 90 + b"]" * 90 + b","
UNITS = {
    "lists": b"[],", "objects": b"{},", "nested": NESTED, "numbers": b"1,", "digits": b"9" * 4000 + b",",
    "floats": b"0.1e1,", "escapes": b'"' + b"\\u0041" * 100 + b'",', "keys": b'{"a":1,"b":2,"a":3},',
    "twice": b'{"a":' * 50 + b"1" + b"}" * 50 + b",", "text": b'"' + b"[,{" * 1000 + b'",',
    "one": b'"\\n\\"' + b'\\n' * 200_000 + b'",', "long text": b'"' + b"\\u0001" * 800_000 + b'",',
    "longest text": b'"' + b"\\u0001" * 2_500_000 + b'",',
}
LINES = "\n" * 60_000
FLOODS = {
    "logs": lambda: log("") * 4000,
    "long logs": lambda: log("x" * 60_000) * 20,
    "many lines": lambda: log(LINES) * 20,
    "controls": lambda: log("\x7f" * 60_000) * 20,
    "empty frames": lambda: framed(b"") * 100_000,
    "empty objects": lambda: framed(b"{}") * 100_000,
    "progress": lambda: say({"type": "progress", "fraction": 0.5, "text": "x"}) * 1000,
    "show": lambda: call("show", run="00000000-0000-7000-8000-000000000000") * 1000,
    "wait": lambda: call("wait", run="00000000-0000-7000-8000-000000000000") * 1000,
    "schedule": lambda: call("schedule", runs=[{"task": "flood.flood", "after": "1h"}]) * 1000,
    "batches": lambda: call("schedule", runs=[{"task": "flood.honest", "after": "1h"}] * 5000) * 3,
    "refused": lambda: call("schedule", runs=[{"task": "flood.honest", "after": "1h"}] * 9999 + [{}]) * 10,
    "nonsense": lambda: call("x" * 1000) * 1000,
}
for kind, size in (("response", 15 << 20), ("response", 1 << 20), ("call", 15 << 20), ("call", 490_000),
                   ("log", 390 << 10), ("progress", 15 << 20), ("none", 15 << 20)):
    for name, unit in UNITS.items():
        FLOODS[f"{kind} of {size} {name}"] = lambda kind=kind, unit=unit, size=size: long(kind, unit, size)

def flood(parameters):
    stream = socket.socket(fileno=os.dup(3))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
    data = FLOODS[parameters["of"]]()
    while True:
        stream.sendall(data)

def pipes(parameters):
    data = parameters["line"].encode() * (1 << 20)
    for pipe in (1, 2):
        try:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
        except OSError:
            pass
        threading.Thread(target=lambda pipe=pipe: [os.write(pipe, data) for _ in iter(int, 1)]).start()
    threading.Event().wait()

def honest(parameters):
    return "honest"
"""
OF = ["logs", "long logs", "many lines", "controls", "empty frames", "empty objects", "progress", "show", "wait"]
OF += ["schedule", "batches", "refused", "nonsense"]
SHAPES = ["lists", "objects", "nested", "numbers", "digits", "floats", "escapes", "keys", "twice", "text", "one"]
SHAPES += ["long text", "longest text"]
KINDS = [f"response of {15 << 20}", f"response of {1 << 20}", f"call of {15 << 20}", "call of 490000"]


def project(folder: Path, result: str = "15MB") -> Path:
    source = FLOOD.replace("def flood(", "@task()\ndef flood(").replace("def pipes(", "@task()\ndef pipes(")
    source = "from runner import task\n" + source.replace("def honest(", "@task()\ndef honest(")
    return write_project(folder, {"flood.py": source}, CONFIG.format(result=result))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("floods"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(folder: Path):
    """One node for all: what a flood leaves behind would be felt by the next."""
    async with running_node(folder) as node:
        node.engine.catalog._inquiry._timeout_s = 3.0
        yield node


async def flooded(node: Node, *floods: tuple[str, object]) -> list[dict]:
    """The runs of these floods, all at once, while an honest one runs beside them; the loop never stood still."""
    async with watched_loop() as pauses:
        runs = [await node.schedule(task, parameters) for task, parameters in floods]
        honest = await node.run("flood.honest", timeout="30s", within_s=30)
        ended = await asyncio.gather(*(node.ended(run["id"], within_s=30) for run in runs))
    assert honest["result"] == "honest"
    assert pauses.longest_s < 0.1
    return list(ended)


@pytest.mark.parametrize("of", OF)
async def test_a_flood_of_messages_holds_up_nobody(node: Node, of: str) -> None:
    [document] = await flooded(node, ("flood.flood", {"of": of}))

    assert document["reason"] in ("timeout", "crash")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_long_message_of_whatever_shape_holds_up_nobody(node: Node, kind: str, shape: str) -> None:
    [document] = await flooded(node, ("flood.flood", {"of": f"{kind} {shape}"}))

    assert document["reason"] in ("timeout", "crash", "success", "error")


@pytest.mark.parametrize("line", ["\n", "x", "\x7f\n", "\x1b", "line of text\n"])
async def test_a_flood_of_output_holds_up_nobody(node: Node, line: str) -> None:
    [document] = await flooded(node, ("flood.pipes", {"line": line}))

    assert document["reason"] == "timeout"


#: What a module says while it is asked for its tasks.
DECLARES = """
import json, os, socket
stream = socket.socket(fileno=os.dup(3))
stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)

def say(body):
    stream.sendall(len(body).to_bytes(4, "big") + body)

def declare(schema, name="speak", times=1):
    document = {{"name": name, "module": name, "function": "run", "arguments": 1, "schema": schema,
                 "description": "x", "options": {{}}}}
    say(json.dumps({{"type": "manifest", "tasks": [document] * times}}).encode())

deep = {{}}
for _ in range(90):
    deep = {{"properties": {{"a": deep}}}}
{flood}
def run(parameters): ...
"""
DECLARATIONS = {
    "logs": 'while True: say(b\'{"type":"log"}\')',
    "empty frames": "while True: say(b'')",
    "output": "while True: os.write(1, b'\\n' * 65536)",
    "thousands of tasks": "declare(None, times=15_000)",
    "many tasks": "declare({'type': 'object'}, times=500)",
    "lists": "say(b'{\"type\":\"manifest\",\"tasks\":[' + b'[],' * 600_000 + b'[]]}')",
    "a huge schema": "declare({'enum': list(range(120_000))})",
    "alternatives": "declare({'anyOf': [{'const': str(each)} for each in range(12_000)]})",
    "patterns": "declare({'anyOf': [{'pattern': '(a{1,99}|b){1,99}' + str(each)} for each in range(15)]})",
    "references": "declare({'$defs': {str(i): {'anyOf': [{'$ref': f'#/$defs/{i + 1}'}] * 9} for i in range(60)}"
    " | {'60': {}}, '$ref': '#/$defs/0'})",
    "a deep schema": "declare({'allOf': [deep] * 100})",
    "numbers": "say(b'{\"type\":\"manifest\",\"tasks\":[' + b'9' * 1_900_000 + b']}')",
}


@pytest.mark.parametrize("flood", DECLARATIONS.values(), ids=DECLARATIONS)
async def test_a_module_that_floods_while_it_is_asked_holds_up_nobody(node: Node, folder: Path, flood: str) -> None:
    (folder / "tasks" / "speak.py").write_text(DECLARES.format(flood=flood))

    async with watched_loop() as pauses:
        loading = asyncio.create_task(node.engine.catalog.load())
        honest = await node.run("flood.honest", timeout="30s", within_s=30)
        await loading

    assert honest["result"] == "honest"
    assert pauses.longest_s < 0.1


async def test_several_floods_at_once_hold_up_nobody(node: Node) -> None:
    shapes = ["logs", "many lines", f"response of {15 << 20} nested", f"call of {15 << 20} text", "show"]

    await flooded(node, *(("flood.flood", {"of": of}) for of in shapes))
