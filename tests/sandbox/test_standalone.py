"""Stand-alone use: files and functions, run confined, and what is told of their ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

import sandbox
from sandbox import LauncherError, Level, Limits, Mount, Reason, Sandbox
from sandbox.host import temporary_lock
from support.processes import living_children
from support.waiting import eventually, eventually_async

JOBS = str(Path(__file__).parent / "inside" / "jobs.py")
SMALL = Limits(memory_bytes=96 << 20, processes=32, disk_bytes=4 << 20, open_files=64)


def job(name):
    return f"{JOBS}:{name}"


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, monkeypatch, actor):
    """Of temporary files and cgroups; processes and descriptors are looked at for every test."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    locks, make = [], temporary_lock.make
    monkeypatch.setattr(temporary_lock, "make", lambda: locks.append(make()) or locks[-1])
    yield
    assert list(temporary.iterdir()) == []
    assert not [group for lock in locks for group in actor.cgroups(lock)]


@pytest.fixture
async def box():
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def box_at_each_level(level, tmp_path):
    async with Sandbox(level=level) as sandbox:
        yield sandbox


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


# --- what is refused -------------------------------------------------------------------------------------------------


def nested():
    def inner():
        pass

    return inner


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda: 1, "is a lambda"),
        (nested(), "is defined inside another function"),
        ([].append, "has no name by which"),
        (Path().exists, f"is not what `{Path.exists.__module__}.{Path.exists.__qualname__}` names"),
        ("work", "names no function"),
        ("no_such_module:work", "there is no module 'no_such_module' on sys.path"),
        ("jobs.py:a b", "names no function"),
    ],
)
async def test_a_function_without_a_name_to_find_it_by_is_refused(box, function, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        await box.call(function)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([{1}], "arguments[0] is a set; pass it as a list"),
        ([0, {"a": [object()]}], 'arguments[1]["a"][0] is an object, which is not JSON'),
        ([{1: 2}], "arguments[0] has a key that is an int; JSON keys are text"),
        ([float("nan")], "arguments[0] is nan"),
        (["\ud800"], "half a character (a lone surrogate)"),
        ([10**5000], "arguments[0] has about 5001 digits"),
        (["x" * (17 << 20)], "arguments takes more than 16777216 bytes as JSON"),
    ],
    ids=["type", "deep type", "key", "nan", "surrogate", "digits", "size"],
)
async def test_arguments_that_are_not_json_are_refused_with_their_place(box, arguments, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        await box.call(job("echo"), *arguments)


async def test_arguments_that_contain_themselves_are_refused(box):
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="contains itself"):
        await box.call(job("echo"), endless)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), 1e12])
async def test_a_timeout_that_is_none_is_refused(box, timeout_s):
    with pytest.raises(ValueError, match=r"timeout_s is .*; it is above 0 and at most"):
        await box.call(job("echo"), timeout_s=timeout_s)


@pytest.mark.parametrize("name", ["memory_bytes", "processes", "disk_bytes", "open_files", "cpus"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_that_the_kernel_would_take_for_none_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; a"):
        Limits(**{name: value})


async def test_arguments_that_are_one_text_are_refused(box):
    with pytest.raises(TypeError, match=re.escape("pass a list: ['--all']")):
        await box.run(JOBS, "--all")


async def test_a_file_that_is_not_there_is_refused(box, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no file {tmp_path}/none.py"):
        await box.run(tmp_path / "none.py")
    with pytest.raises(IsADirectoryError, match="name a Python file in it"):
        await box.run(tmp_path)


def test_on_another_system_the_import_says_what_it_needs():
    code = "import sys; sys.platform = 'darwin'; from sandbox import Sandbox"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "ImportError: sandbox needs Linux, and this is darwin" in done.stderr


async def test_a_level_that_cannot_be_had_is_refused_with_what_to_do_about_it():
    """Within a sandbox there is none."""
    async with Sandbox(level=Level.FULL) as sandbox:
        outcome = await sandbox.call(job("start_a_sandbox"))

    assert outcome.error.type == "SetupError"
    assert "level full cannot be had on this host; to get it: " in outcome.error.traceback


async def test_where_no_walls_can_be_had_one_is_warned(monkeypatch):
    async def only_basic(attempt, demanded):
        return Level.BASIC, await attempt(Level.BASIC)

    monkeypatch.setattr("sandbox.host.probe.strongest", only_basic)
    with pytest.warns(RuntimeWarning, match=r"can do whatever you can do.*To get walls: "):
        async with Sandbox() as sandbox:
            assert (await sandbox.call(job("echo"), 1)).value == [[1], {}]
    async with Sandbox(level=Level.BASIC):
        pass  # and nothing is warned of what was asked for


async def test_a_launcher_that_dies_is_told(box):
    running = asyncio.create_task(box.call(job("hang")))
    await until_one_runs(box)
    os.kill(box._link._process.pid, signal.SIGKILL)

    with pytest.raises(LauncherError):
        await running


# --- the README -----------------------------------------------------------------------------------------------------


def test_the_examples_of_the_readme_print_what_it_says(tmp_path):
    """Its blocks in their order: a file by its first line, or a command and what it prints."""
    readme = (Path(sandbox.__file__).parent / "api" / "README.md").read_text()
    ran = 0
    for language, body in re.findall(r"^```(\w+)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
        first, _, rest = body.partition("\n")
        if language == "python" and first.endswith(".py"):
            write(tmp_path / first.removeprefix("# "), body)
        elif language == "console":
            stdout, stderr = start_script(tmp_path, *first.split()[2:]).communicate(timeout=60)
            assert (stdout, stderr) == (rest, "")
            ran += 1
    assert ran == 2


# --- both faces ------------------------------------------------------------------------------------------------------


def is_waiting(sandbox):
    """For an answer, so it has launched."""
    return any(launch.confined._stream._reading for launch in list(sandbox._live._live.values()))


async def until_one_runs(sandbox):
    await eventually_async(lambda: is_waiting(sandbox))


async def test_cancelling_kills_what_runs(box):
    running = asyncio.create_task(box.call(job("hang"), timeout_s=None))
    await until_one_runs(box)
    (launch,) = box._live._live.values()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await eventually_async(lambda: not box._live)
    assert launch.confined.pidfd == -1


def test_methods_block_within_a_plain_with():
    with Sandbox() as sandbox:
        assert sandbox.walls.startswith(f"{sandbox.level}: ")
        assert sandbox.call(job("echo"), 1).value == [[1], {}]
    with pytest.raises(RuntimeError, match="this sandbox is closed"):
        sandbox.call(job("echo"))


def test_a_sandbox_that_was_closed_can_be_opened_again_also_the_other_way():
    sandbox = Sandbox()

    async def hang_until_closed():
        async with sandbox:
            running = asyncio.create_task(sandbox.call(job("hang"), timeout_s=None))
            await until_one_runs(sandbox)
        return await running

    for _ in range(2):
        with pytest.raises(LauncherError, match="since its sandbox was closed"):
            asyncio.run(hang_until_closed())
    with sandbox as blocking:
        assert blocking.call(job("echo"), 1).value == [[1], {}]


def test_threads_share_one_sandbox():
    values = []
    with Sandbox() as sandbox:
        threads = [
            threading.Thread(target=lambda n=n: values.append(sandbox.call(job("echo"), n).value[0][0]))
            for n in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(values) == list(range(6))


def test_an_interrupted_call_is_killed_and_the_sandbox_goes_on():
    main = threading.main_thread().ident
    with Sandbox() as sandbox:

        def interrupt():
            eventually(lambda: is_waiting(sandbox._sandbox))
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            sandbox.call(job("hang"), timeout_s=None)
        thread.join()

        eventually(lambda: not sandbox._sandbox._live)
        assert sandbox.call(job("echo"), 1).value == [[1], {}]


def test_an_exception_of_the_caller_closes_it_and_kills_what_runs():
    waiting = []

    def wait(sandbox):
        try:
            waiting.append(sandbox.call(job("hang"), timeout_s=None))
        except BaseException as error:
            waiting.append(error)

    with pytest.raises(KeyError), Sandbox() as sandbox:  # noqa: PT012 - how a caller looks
        thread = threading.Thread(target=wait, args=(sandbox,))
        thread.start()
        eventually(lambda: is_waiting(sandbox._sandbox))
        raise KeyError
    thread.join(10)

    assert len(waiting) == 1


def test_a_start_that_fails_leaves_nothing(monkeypatch):
    sandbox = Sandbox(packages=["there_is_no_such_package"])
    with pytest.raises(LauncherError, match="there_is_no_such_package"), sandbox:
        pass


SCRIPT = """
import sys
from sandbox import Sandbox

def work(n):
    return [2 * n, __name__]

def hang():
    print("begun", flush=True)
    while True:
        pass

GUARD
    with Sandbox() as sandbox:
        print(sandbox.call(work, 21).value, flush=True)
        if "hang" in sys.argv:
            print(sandbox._sandbox._link._process.pid, flush=True)
            sandbox.call(hang, timeout_s=None)
"""


@pytest.fixture
def script(tmp_path):
    return write(tmp_path / "script.py", SCRIPT.replace("GUARD", 'if __name__ == "__main__":'))


def start_script(tmp_path, *command):
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("command", [["script.py"], ["-m", "script"]])
def test_a_function_of_the_script_itself_can_be_called(tmp_path, script, command):
    stdout, stderr = start_script(tmp_path, *command).communicate(timeout=60)

    assert stdout == f"[42, '{'script' if '-m' in command else '__sandbox_script__'}']\n", stderr


def test_a_script_that_would_start_a_sandbox_when_it_is_loaded_in_one_is_told(tmp_path, script):
    text = SCRIPT.replace("GUARD", "if True:").replace(".value", ".why")
    stdout, _ = start_script(tmp_path, write(script, text)).communicate(timeout=60)

    assert stdout.startswith("it raised SandboxError: this file would start a sandbox")
    assert 'if __name__ == "__main__":' in stdout


def test_a_function_that_was_typed_in_is_refused(tmp_path):
    _, stderr = start_script(tmp_path, "-").communicate(SCRIPT.replace("GUARD", "if True:"), timeout=60)

    assert "ValueError: `work` was typed into an interactive session; save it in a file" in stderr


def test_ctrl_c_kills_what_runs_and_leaves_nothing(tmp_path, script):
    process = start_script(tmp_path, script, "hang")
    assert process.stdout.readline().startswith("[42")
    launcher = int(process.stdout.readline())
    eventually(lambda: len(Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()) == 1)

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)

    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert not Path(f"/proc/{launcher}").exists()


def test_what_a_killed_process_left_is_cleared_away_by_the_next_one(tmp_path, script, actor):
    process = start_script(tmp_path, script, "hang")
    process.stdout.readline()
    launcher = int(process.stdout.readline())
    eventually(lambda: Path(f"/proc/{launcher}/task/{launcher}/children").read_text())
    process.kill()
    process.communicate()
    (left,) = (tmp_path / "temporary").iterdir()
    eventually(lambda: launcher not in living_children())

    with Sandbox():
        assert left.exists(), "it may be one that is just being started"
    os.utime(left, (0, 0))
    with Sandbox():
        assert not left.exists()
        assert not actor.cgroups(left / "lock")
