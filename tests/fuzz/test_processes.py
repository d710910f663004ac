"""Real confined tasks that write what they like to the descriptor of their channel: no part is played here."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from support.hostile import Speech, fuzzed, speeches
from support.nodes import running_node
from support.projects import write_project

CONFIG = """
[runner]
concurrency = 2
memory = "1GB"
stop_grace = "0s"
[defaults]
timeout = "2s"
memory = "128MB"
[defaults.retry]
attempts = 1
[limits]
log = "64KB"
"""
TASKS = {
    "speak.py": """
        import base64, os, signal, socket

        def run(parameters):
            for piece in parameters["pieces"]:
                rest = base64.b64decode(piece)
                while rest:
                    rest = rest[os.write(3, rest):]
            match parameters["ending"]:
                case "closes":
                    socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)
                    signal.pause()
                case "dies":
                    os._exit(parameters["code"])
                case "floods":
                    while True:
                        os.write(3, b"\\0\\0\\0\\2{}" * 10_000)
            return "spoken"
    """,
    "honest.py": "def run(): return 'honest'",
}


@pytest.fixture
async def node(memory_folder: Path):
    async with running_node(write_project(memory_folder, TASKS, CONFIG)) as node:
        yield node


@fuzzed(40)
@given(
    speech=speeches(),
    ending=st.sampled_from(["returns"] * 10 + ["dies"] * 5 + ["closes", "floods"]),
    code=st.integers(0, 255),
)
async def test_whatever_a_process_writes_its_run_ends_once_and_the_next_works(node, speech: Speech, ending, code):
    assume(sum(map(len, speech.pieces)) < 3 << 20)  # they get there as parameters
    pieces = [base64.b64encode(piece).decode() for piece in speech.pieces]

    document = await node.run("speak", {"pieces": pieces, "ending": ending, "code": code}, within_s=30)
    honest = await node.run("honest", within_s=30)

    (attempt,) = document["attempts"]
    assert attempt["reason"] in ("success", "error", "out_of_memory", "crash", "timeout")
    assert honest["result"] == "honest"
