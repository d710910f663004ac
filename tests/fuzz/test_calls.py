"""What a running task asks for, whatever it asks: one reply, which can be sent."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given

from runner.catalog.manifest import read_manifest
from runner.domain.masking import Mask
from runner.domain.run import Claim
from runner.engine.attempts.parking import Parking
from runner.engine.attempts.task_calls import TaskCalls, is_call
from runner.engine.attempts.timelimit import TimeLimit
from runner.errors import InvalidError, InvariantError
from sandbox import WireError
from sandbox.protocol.wire import Decoder, encode
from support.hostile import CALLS, MANIFESTS, framed, fuzzed, mutants, text_of
from support.nodes import running_node
from support.projects import CONFIG, write_project

WAITS_S = 0.05  # for what does not end meanwhile


@pytest.fixture
async def asker(memory_folder, store):
    """The calls of an attempt of a real run that never starts by itself."""
    config = CONFIG.replace("[runner]", f'[runner]\nstore = "{store}"')
    async with running_node(write_project(memory_folder, {"speak.py": "def run(parameters): ..."}, config)) as node:
        run = (await node.schedule("speak", after="30d"))["id"]
        detail = await node.store.get("main", run)
        claim = Claim(run=detail.run, parameters="{}", attempt=1, token="of nobody", fence=1)
        parts = node.engine._dispatcher._parts

        def calls() -> TaskCalls:
            time = TimeLimit(float("inf"), lambda: None)
            parking = Parking(parts.capacity, time, token=claim.token, memory_bytes=1 << 20, cpus=None)
            return TaskCalls(parts, claim, Mask(), time=time, parking=parking)

        yield calls


@fuzzed(400)
@given(frame=mutants(CALLS))
@example(frame={**CALLS[0], "arguments": {"run": "\0"}})
@example(frame={**CALLS[0], "method": "schedule", "arguments": {"runs": [{"task": "speak", "idempotency_key": "\0"}]}})
@example(frame={**CALLS[0], "method": "schedule", "arguments": {"runs": [{"task": "speak", "after": 10**400}]}})
async def test_every_call_has_one_reply_that_can_be_sent(asker, frame):
    decoder = Decoder()
    decoder.feed(framed(text_of(frame)))
    try:
        call = decoder.next_frame()
    except WireError:
        return
    if call is None or not is_call(call):
        return

    try:
        async with asyncio.timeout(WAITS_S if call.get("method") == "wait" else None):
            reply = await asker().answer(call)
    except TimeoutError:
        return

    assert ("result" in reply) != ("error" in reply)
    assert reply.get("error", {}).get("code") != InvariantError.code, reply
    encode(reply)


@fuzzed(200)
@given(frame=mutants(MANIFESTS))
def test_what_a_module_declares_is_read_or_refused(frame):
    decoder = Decoder()
    decoder.feed(framed(text_of(frame)))
    try:
        declared = (decoder.next_frame() or {}).get("tasks")
    except WireError:
        return

    try:
        tasks = read_manifest(declared, "speak")
    except InvalidError as error:
        str(error).encode()
    else:
        assert all(task.name.isprintable() for task in tasks)
