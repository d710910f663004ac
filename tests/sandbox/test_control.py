"""What is said on control sockets, by supervisors and launchers as they should be, and by ones out of their minds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import LauncherError, SetupError, WireError
from sandbox.host.confined import Confined
from sandbox.outcome import Outcome
from sandbox.protocol.control_messages import End, Ended, Listening, Standing, read
from sandbox.protocol.standby_messages import read_exit
from support.hostile import Said, documents, fuzzed

SAYS = [
    {"ready": True},
    {"listening": True},
    SetupError("mounts", "no such file", 2).to_document(),
    SetupError("x" * 1000, "\ud800" * 10_000).to_document(),
    {"exit_code": 3, "signal": None},
    {"exit_code": None, "signal": 9},
    {"exit_code": None, "signal": None, "lease_over": True},
]
#: Those, others that look like them, and anything at all.
reports = st.one_of(
    st.sampled_from(SAYS).map(lambda message: json.dumps(message).encode()),
    st.builds(
        lambda message, key, value: message.replace(key.encode(), value),
        st.sampled_from(SAYS).map(lambda message: json.dumps(message).encode()),
        st.sampled_from(["true", "3", "9", "null", '"mounts"', "exit_code"]),
        documents,
    ),
    documents,
    st.binary(),
).map(Said)


@pytest.mark.parametrize(
    ("message", "means"),
    [
        (SAYS[0], Standing()),
        (SAYS[1], Listening()),
        (SAYS[4], Ended(3, None)),
        (SAYS[5], Ended(None, 9)),
        (SAYS[6], Ended(lease_over=True)),
    ],
)
def test_a_report_says_what_it_means(message, means):
    assert read(json.dumps(message).encode()) == means


def test_a_failed_step_is_told_with_the_kernels_answer():
    error = read(json.dumps(SAYS[2]).encode())

    assert isinstance(error, SetupError)
    assert (error.step, error.reason, error.errno) == ("mounts", "no such file", 2)


def test_a_long_and_broken_reason_is_told_as_far_as_it_goes():
    error = read(json.dumps(SAYS[3]).encode())

    assert isinstance(error, SetupError)
    assert error.reason == "\\ud800" * 1000


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        {"ready": 1},
        {"ready": True, "exit_code": 0, "signal": None},
        {"exit_code": True, "signal": None},
        {"exit_code": 0, "signal": 9},
        {"exit_code": None, "signal": None},
        {"exit_code": 256, "signal": None},
        {"exit_code": None, "signal": 65},
        {"exit_code": None, "signal": None, "lease_over": False},
        {"step": "x", "reason": 1, "errno": None},
        {"step": "x", "reason": "x" * 1001, "errno": None},
        {"step": "x", "reason": "x", "errno": "2"},
    ],
)
def test_what_no_supervisor_says_is_refused(message):
    with pytest.raises(WireError):
        read(json.dumps(message).encode())


@fuzzed(300)
@given(reports)
def test_a_report_is_understood_or_refused(data):
    try:
        said = read(data)
    except WireError:
        return
    assert isinstance(said, Listening | Standing | Ended | SetupError)
    str(said).encode()


@pytest.mark.parametrize(
    ("status", "means"),
    [(0, (0, None)), (3 << 8, (3, None)), (9, (None, 9)), (11 | 0x80, (None, 11)), (0x137F, (None, None))],
)
def test_a_init_reads_how_an_standby_ended(status, means):
    told = read_exit(struct.pack("=iQQ", status, 1_500_000, 4096))

    assert (told.exit_code, told.signal) == means


@fuzzed(300)
@given(st.one_of(st.binary(), st.binary(min_size=20, max_size=20)).map(Said))
def test_a_init_reads_an_end_of_whatever_a_zygote_tells(data):
    told = read_exit(data)

    assert told.exit_code is None or 0 <= told.exit_code <= 255
    assert told.signal is None or 0 < told.signal <= 64
    assert (told.cpu_time_s or 0) >= 0 <= (told.peak_bytes or 0)


@fuzzed(100)
@given(st.lists(reports, max_size=6))
def test_whatever_is_said_a_process_has_one_outcome(messages):
    asyncio.run(hears(messages))


async def hears(messages):
    """What becomes of a process whose supervisor says this."""
    control, far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel, far_channel = socket.socketpair()
    for near in (control, channel):
        near.setblocking(False)
    trouble = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: trouble.append(context))
    with far_control, far_channel:
        confined = Confined(None, control, channel, -1, -1)
        confined.started(os.pidfd_open(os.getpid()))
        confined.kill = lambda: None  # it stands for another
        for message in messages:
            with contextlib.suppress(BlockingIOError):  # nobody listens any more
                far_control.send(message[:100_000] or b" ", socket.MSG_DONTWAIT)
            await asyncio.sleep(0)
        confined.ended(End(0.0, 1))
        try:
            outcome = await confined.wait()
        except SetupError as error:
            str(error).encode()
        else:
            assert isinstance(outcome, Outcome)
            assert outcome.exit_code is None or 0 <= outcome.exit_code < 256
            outcome.describe_exit()
    try:
        await confined.stands()
    except SetupError as error:
        str(error).encode()
    assert not trouble


async def test_a_supervisor_out_of_its_mind_is_killed_with_its_task(sandbox, actor):
    confined = await sandbox.launch(actor.spec("sleep"))
    assert await confined.receive() == {}
    mouth, ear = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mouth:
        os.dup2(ear.fileno(), confined._control.fileno())  # as if the supervisor spoke
        ear.close()
        asyncio.get_running_loop().add_reader(confined._control, confined._hear)
        for _ in range(100):
            mouth.send(b'{"exit_code": [], "signal": null}')

        ended = await actor.finish(confined)

    assert (ended.outcome.exit_code, ended.outcome.signal) == (None, None)
    assert (await actor.finish(await sandbox.launch(actor.spec("nothing")))).outcome.exit_code == 0


@pytest.mark.parametrize(
    "garbage", [b"garbage", b"[]", b'{"started": 1}', b'{"ended": [], "cpu_time_s": 0}', b"[" * 9999]
)
async def test_a_launcher_out_of_its_mind_ends_with_all_that_it_launched(tmp_path, actor, garbage):
    sandbox = await actor.start(tmp_path, None)
    confined = await sandbox.launch(actor.spec("sleep"))
    mouth, ear = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mouth, ear:
        socket.send_fds(mouth, [garbage], [mouth.fileno()])
        line = sandbox._link._line
        line._socket, its_own = ear, line._socket
        ear.setblocking(False)
        line._readable()
        line._socket = its_own

        with pytest.raises(LauncherError):
            await confined.wait()
    await actor.read_all(confined.stdout)
    await actor.read_all(confined.stderr)
    await sandbox.close()
    await sandbox.start()
    assert (await actor.finish(await sandbox.launch(actor.spec("nothing")))).outcome.exit_code == 0
    await sandbox.close()


async def test_a_process_that_nobody_could_kill_for_want_of_descriptors_ends_at_once(sandbox, actor):
    line = sandbox._link._line
    on_message = line._on_message

    def without_descriptors(message, descriptors):
        while descriptors:
            os.close(descriptors.pop())
        on_message(message, [])

    line._on_message = without_descriptors
    try:
        confined = await sandbox.launch(actor.spec("sleep"))
    except SetupError:
        pass
    else:
        assert (await actor.finish(confined)).outcome.exit_code is None
    line._on_message = on_message

    assert (await actor.finish(await sandbox.launch(actor.spec("exit_with_three")))).outcome.exit_code == 3
