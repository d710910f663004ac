"""Whole attempts of a whole engine, whose tasks say on their channels whatever comes to mind.

Only the processes are played (`support.speaker`), so that there are many a second; `test_processes` has real ones.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path

import psutil
import pytest
from hypothesis import example, given

from runner.uuid7 import uuid7
from support.hostile import Speech, framed, fuzzed, speeches
from support.nodes import Node, running_node
from support.projects import write_project
from support.speaker import Speaker, play

CONFIG = """
[runner]
store = "{store}"
concurrency = 4
memory = "2GB"
stop_grace = "0s"
[defaults]
timeout = "30s"
memory = "128MB"
[defaults.retry]
attempts = 1
[limits]
log = "64KB"
"""
LINGERS_S = 0.3


@pytest.fixture
async def stage(memory_folder: Path, store: str):
    """A node whose attempts are played, and everything that went wrong outside of them."""
    trouble: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: trouble.append(context))
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: trouble.append(record.getMessage())
    logging.getLogger("runner").addHandler(handler)
    config = CONFIG.format(store=store)
    async with running_node(write_project(memory_folder, {"speak.py": "def run(parameters): ..."}, config)) as node:
        yield node, play(node.engine), trouble
        gc.collect()  # what nobody asked about is told of when it is collected
        assert not trouble
    logging.getLogger("runner").removeHandler(handler)


async def spoken(node: Node, speaker: Speaker, speech: Speech, lingers_s: float = LINGERS_S) -> dict:
    """The run in whose attempt this was said, when it is over."""
    run = uuid7()
    speaker.speeches[run] = speech
    await node.schedule("speak", id=run)
    if speech.ending == "lingers":
        document = await node.operations.wait("main", run, lingers_s)
        if document["finished_at"] is None:
            await node.operations.cancel("main", run)
    return await node.ended(run, within_s=30)


def says(message: bytes) -> Speech:
    return Speech((framed(message),), "dies")


@fuzzed(300)
@given(speech=speeches())
@example(says(b'{"type":"progress","fraction":%b,"text":null}' % (b"9" * 400)))
@example(says(rb'{"type":"response","error":{"type":"\u0000","message":"\u0000","traceback":"\u0000"}}'))
@example(says(rb'{"type":"progress","fraction":0,"text":"\u0000"}'))
@example(says(b'{"type":"log","level":"INFO","message":"long ago","at":-%b}' % (b"9" * 400)))
async def test_whatever_a_task_says_its_run_ends_once_and_the_next_works(stage, speech: Speech):
    node, speaker, trouble = stage
    trouble.clear()

    document = await spoken(node, speaker, speech)
    honest = await node.run("speak", within_s=30)

    assert document["status"] in ("succeeded", "failed", "cancelled")
    (attempt,) = document["attempts"]
    assert attempt["reason"] in ("success", "error", "out_of_memory", "crash", "cancelled")
    assert document["why"].isprintable()
    assert honest["result"] == "honest"
    assert not trouble


async def test_thousands_of_empty_lines_in_one_message_take_no_more_than_the_rest_of_the_log(stage):
    node, speaker, _ = stage
    lines = b"\\n" * 200_000

    document = await spoken(node, speaker, says(b'{"type":"log","level":"INFO","message":"%b","at":0}' % lines))

    rest = await node.store.logs("main", document["id"], 1000)
    assert len(rest.lines) < 100  # of 64 KB
    assert rest.lines[-1].text.endswith("bytes were dropped")


async def test_calls_that_wait_are_read_as_far_as_there_is_room_for_them(stage):
    node, speaker, _ = stage
    later = await node.schedule("speak", after="30d")
    junk = b"[" + b"[]," * 120_000 + b"[]]"
    call = b'{"type":"call","id":1,"method":"wait","arguments":{"run":"%b","junk":%b}}' % (later["id"].encode(), junk)
    before = psutil.Process().memory_info().rss
    taken = []

    async def measure() -> None:
        while True:
            taken.append(psutil.Process().memory_info().rss - before)
            await asyncio.sleep(0.01)

    measuring = asyncio.create_task(measure())
    document = await spoken(node, speaker, Speech((framed(call),) * 150, "lingers"), lingers_s=2)
    measuring.cancel()

    assert document["attempts"][0]["reason"] == "cancelled"
    assert max(taken) < 250 << 20  # of a hundred and fifty it would be 1.5 GB


async def test_a_task_that_waits_for_hundreds_at_once_can_be_ended(stage):
    node, speaker, _ = stage
    later = await node.schedule("speak", after="30d")
    call = b'{"type":"call","id":1,"method":"wait","arguments":{"run":"%b"}}' % later["id"].encode()

    document = await spoken(node, speaker, Speech((framed(call),) * 1000, "lingers"))

    assert document["attempts"][0]["reason"] == "cancelled"
