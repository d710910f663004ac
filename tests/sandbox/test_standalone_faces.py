"""Stand-alone use from coroutines, threads and scripts: each begins and ends it as it is used to."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import sandbox
from sandbox import LauncherError, Sandbox
from support.processes import living_children
from support.standalone import is_waiting, job, until_one_runs
from support.waiting import eventually, eventually_async

pytestmark = pytest.mark.usefixtures("nothing_temporary_is_left")


def write(path, text):
    path.write_text(text)
    return path


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
