"""Stand-alone use: files and functions, run confined, and what is told of their ends."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from sandbox import Level, Limits, Mount, Reason, Sandbox
from support.standalone import JOBS, job, until_one_runs
from support.waiting import eventually

SMALL = Limits(memory_bytes=96 << 20, processes=32, disk_bytes=4 << 20, open_files=64)


pytestmark = pytest.mark.usefixtures("nothing_temporary_is_left")


def write(path, text):
    path.write_text(text)
    return path


# --- files ---------------------------------------------------------------------------------------------------------


async def test_a_file_runs_as_a_program(box_at_each_level, tmp_path):
    (tmp_path / "private").mkdir(mode=0o700)
    script = write(
        tmp_path / "private" / "greet.py",
        "import sys\nprint(__name__, __file__, sys.argv[1:], sys.stdin.read())\nprint('oh', file=sys.stderr)\n",
    )
    script.chmod(0o600)

    outcome = await box_at_each_level.run(script, ["a", "b"], input="héllo")

    assert (outcome.reason, outcome.exit_code, outcome.signal) == (Reason.SUCCESS, 0, None)
    assert outcome.stdout == f"__main__ {script} ['a', 'b'] héllo\n"
    assert outcome.stderr == "oh\n"
    assert sorted(outcome.output.splitlines()) == sorted([*outcome.stdout.splitlines(), "oh"])
    assert outcome.peak_memory_bytes > 1 << 20
    assert outcome.wall_time_s > 0
    assert outcome.walls.startswith(f"{box_at_each_level.level}: ")


async def test_what_a_file_raises_is_told_and_printed_as_python_does(box, tmp_path):
    outcome = await box.run(write(tmp_path / "bad.py", "def go():\n    1 / 0\ngo()\n"))

    assert (outcome.reason, outcome.exit_code) == (Reason.ERROR, 1)
    assert outcome.why == "it raised ZeroDivisionError: division by zero"
    assert outcome.stderr == outcome.error.traceback
    assert "1 / 0" in outcome.stderr
    assert "sandbox/" not in outcome.stderr


@pytest.mark.parametrize(
    ("text", "reason", "why"),
    [
        ("import sys; sys.exit(3)", "error", "it exited with code 3"),
        ("import sys; sys.exit('no')", "error", "it exited with code 1"),
        ("import os; os.kill(os.getpid(), 11)", "crash", "it was killed by SIGSEGV"),
        ("this is no Python", "error", "it raised SyntaxError: invalid syntax (script.py, line 1)"),
        ("import os, signal; os.write(3, bytes(8)); signal.pause()", "crash", "it answered with what is not JSON"),
        ("raise MemoryError", "out_of_memory", "it got a MemoryError under its memory limit of 96 MB"),
        ("", "success", "it exited with code 0"),
    ],
)
async def test_a_program_ends_for_this_reason(box, tmp_path, text, reason, why):
    outcome = await box.run(write(tmp_path / "script.py", text), limits=SMALL)

    assert outcome.reason == reason
    assert outcome.why.startswith(why)


async def test_a_file_sees_nothing_of_the_folder_that_it_is_in(tmp_path):
    write(tmp_path / "secret", "s3cret")
    script = write(tmp_path / "look.py", f"open({str(tmp_path / 'secret')!r})")
    async with Sandbox(level=Level.FULL) as sandbox:
        outcome = await sandbox.run(script)
        assert outcome.error.type == "FileNotFoundError"

        shown = Mount(source=str(tmp_path / "secret"), target=str(tmp_path / "secret"), owned=True)
        assert (await sandbox.run(script, mounts=[shown])).reason == Reason.SUCCESS


# --- functions -----------------------------------------------------------------------------------------------------


async def test_a_function_is_called_with_json_and_gives_json(box_at_each_level):
    given = [1, "två", None, True, 1.5, {"a": [1, {"b": []}]}, 10**4000]

    outcome = await box_at_each_level.call(job("echo"), *given, keywords={"c": [2]})

    assert outcome.reason == Reason.SUCCESS
    assert outcome.value == [given, {"c": [2]}]


@pytest.mark.parametrize(
    ("function", "arguments", "value"),
    [
        (job("Arithmetic.add"), [20, 1], 21),
        (job("later"), ["it"], "it"),
        ("json:dumps", [{"a": 1}], '{"a": 1}'),
        ("math:factorial", [5], 120),
        ("email.utils:parseaddr", ["a <b@c>"], ["a", "b@c"]),
    ],
)
async def test_these_can_be_called(box, function, arguments, value):
    outcome = await box.call(function, *arguments)

    assert (outcome.why, outcome.value) == ("it returned", value)


async def test_a_function_object_of_a_module_and_of_a_package_is_found_by_its_name(box, tmp_path, monkeypatch):
    package = tmp_path / "parcel"
    (package / "deep").mkdir(parents=True)
    write(package / "__init__.py", "")
    write(package / "base.py", "base = 40")
    write(package / "deep" / "work.py", "from parcel.base import base\ndef add(n): return base + n\n")
    write(tmp_path / "single_module.py", "def double(n): return 2 * n\n")
    monkeypatch.syspath_prepend(tmp_path)
    import parcel.deep.work
    import single_module

    assert (await box.call(parcel.deep.work.add, 2)).value == 42
    assert (await box.call(single_module.double, 21)).value == 42


async def test_inside_there_is_nothing_but_what_was_given(tmp_path):
    async with Sandbox(level=Level.FULL) as sandbox:
        facts = (await sandbox.call(job("facts"), environment={"A": "b"})).value

    assert facts["environment"] == {"A": "b"}
    assert set(facts["folder"]) - {"__pycache__"} == {"jobs.py"}  # bytecode goes to scratch, if anywhere
    assert facts["cwd"] == "/tmp"
    assert facts["host"] == "isolane"
    assert "sandbox.api.sandbox" not in facts["modules"]


@pytest.mark.parametrize("granted", [True, False])
async def test_of_the_network_there_is_what_was_granted(granted):
    async def answer(_, writer):
        writer.write(b"hello")
        writer.close()

    async with Sandbox(level=Level.FULL) as sandbox, await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await sandbox.call(job("ask"), port, network=[f"127.0.0.1:{port}"] if granted else False)

    assert outcome.value == ("hello" if granted else None), outcome.why


async def test_why_a_granted_host_cannot_be_reached_stands_among_the_output():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with Sandbox(level=Level.FULL) as sandbox:
        outcome = await sandbox.call(job("ask"), port, network=f"127.0.0.1:{port}")

    assert outcome.reason == Reason.ERROR
    assert f"127.0.0.1:{port}" in outcome.stderr
    assert "refused" in outcome.stderr


async def test_a_module_beside_the_own_one_is_seen_when_it_is_named(level, monkeypatch):
    monkeypatch.syspath_prepend(Path(JOBS).parent)
    async with Sandbox(packages=["helper"], level=level) as sandbox:
        assert (await sandbox.call(job("import_helper"))).value == "helper"
    async with Sandbox(level=Level.FULL) as sandbox:
        assert 'packages=["helpers"]' in (await sandbox.call(job("import_helper"))).why


@pytest.mark.parametrize(
    ("name", "arguments", "reason", "why"),
    [
        ("fail", ["not\nthis"], "error", "it raised ValueError: not"),
        ("fail", ["\x1b[31mred"], "error", r"it raised ValueError: \x1b[31mred"),
        ("fail_in_a_hostile_way", [], "error", "it raised HostileError: (its __str__ raised SystemExit)"),
        ("nothing_of_that_name", [], "error", "has no attribute 'nothing_of_that_name'"),
        ("interrupt_itself", [], "error", "it raised KeyboardInterrupt"),
        ("return_itself", [], "error", "what it returned is a function, which is not JSON"),
        ("exit_with", [0], "crash", "it exited with code 0 before it returned"),
        ("exit_with", [3], "crash", "it exited with code 3 before it returned"),
        ("kill_itself", [], "crash", "it was killed by SIGKILL before it returned"),
        ("leave_a_thread", [], "success", "it returned"),
        ("leave_a_child", [], "success", "it returned"),
        ("leave_an_executor_at_work", [], "success", "it returned"),
        ("close_the_streams", [], "success", "it returned"),
        ("return_much", [17 << 20], "error", "what it returned takes more than 16777206 bytes"),
        ("forge", [[0, 0, 0, 2, 91, 93]], "crash", "answered with what is not JSON: a frame is not an object"),
        ("forge", [[255] * 8], "crash", "answered with what is not JSON: a frame of 4294967295 bytes was announced"),
        ("forge", [[0, 0, 0, 2, 123, 125]], "crash", "answered with neither a value nor an error"),
        (
            "forge",
            [[0, 0, 0, 15, *b'{"value":1e999}']],
            "crash",
            "answered with what is not JSON: a frame is not strict JSON",
        ),
    ],
)
async def test_a_call_ends_for_this_reason(box, name, arguments, reason, why):
    outcome = await box.call(job(name), *arguments, timeout_s=30)

    assert outcome.reason == reason
    assert why in outcome.why
    assert (outcome.error is not None) == (reason == "error")


async def test_a_value_that_was_sent_counts_even_if_its_process_does_not_end(box):
    outcome = await box.call(job("forge"), [0, 0, 0, 11, *b'{"value":7}'], timeout_s=30)

    assert (outcome.reason, outcome.value, outcome.exit_code) == (Reason.SUCCESS, 7, None)


async def test_of_a_function_that_forks_only_the_first_process_answers(box):
    assert (await box.call(job("return_twice"))).value == "parent"


async def test_what_was_logged_is_written_before_the_answer(box):
    assert (await box.call(job("log_in_the_end"))).stderr == "logged\n"


# --- limits --------------------------------------------------------------------------------------------------------


async def test_what_runs_too_long_is_killed(box_at_each_level):
    outcome = await box_at_each_level.call(job("hang"), timeout_s=0.5)

    assert (outcome.reason, outcome.why) == (Reason.TIMEOUT, "it was killed after its timeout of 0.5 s")
    assert not outcome.lease_over, "the timer was late"


async def test_a_timeout_is_kept_while_its_caller_is_busy(box, monkeypatch):
    monkeypatch.setattr("sandbox.api.sandbox._LEASE_SLACK_S", 0.0)
    running = asyncio.create_task(box.call(job("hang"), timeout_s=1))
    await until_one_runs(box)
    (launch,) = box._live._live.values()

    eventually(lambda: not Path(f"/proc/{launch.confined.pid}").exists())  # on this loop, which does nothing else

    assert (await running).reason == Reason.TIMEOUT


@pytest.mark.parametrize("processes", [1, 4])
async def test_what_takes_too_much_memory_is_killed(box_at_each_level, processes):
    outcome = await box_at_each_level.call(job("hoard"), 160 // processes, processes, limits=SMALL, timeout_s=30)

    assert outcome.reason == Reason.OUT_OF_MEMORY
    assert outcome.why == "it was killed for using more memory than its limit of 96 MB"


@pytest.mark.parametrize("processes", [1, 4])
async def test_memory_is_watched_where_there_is_no_cgroup(level, monkeypatch, processes):
    monkeypatch.setattr("sandbox.host.cgroups.cgroup.find", lambda _: None)
    async with Sandbox(level=level) as sandbox:
        assert "memory by a watchdog" in sandbox.walls
        within = await sandbox.call(job("echo"), 1, limits=SMALL)
        beyond = await sandbox.call(job("hoard"), 160 // processes, processes, limits=SMALL, timeout_s=30)

    assert within.reason == Reason.SUCCESS
    assert beyond.reason == Reason.OUT_OF_MEMORY
    assert beyond.peak_memory_bytes > SMALL.memory_bytes


async def test_output_beyond_the_limit_is_thrown_away_and_its_writer_is_not_kept_waiting(box):
    outcome = await box.call(job("say"), "x" * 1023 + "\n", 20_000, output_bytes=5000, timeout_s=60)

    assert outcome.reason == Reason.SUCCESS
    assert outcome.is_truncated
    assert outcome.stdout.startswith("x" * 1023 + "\n")
    assert outcome.stdout.endswith(f"\n[cut here: {20_000 * 1024 - 5000} bytes more]\n")


async def test_input_is_read_from_stdin_and_without_any_there_is_its_end(box):
    assert (await box.call(job("read_input"), input="x" * (1 << 20))).value == "x" * (1 << 20)
    assert (await box.call(job("read_input"))).value == ""
