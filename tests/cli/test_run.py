"""`isolane run`: a run here and now, with nothing left behind."""

from __future__ import annotations

import json

import pytest

from support.projects import write_project

TASKS = {
    "greet.py": """
        def run(parameters):
            print("hello", parameters["name"])
            return {"greeted": parameters["name"]}
    """,
    "fail.py": "def run(): raise ValueError('no way')",
    "vanish.py": "import os\ndef run(): os._exit(7)",
    "parent.py": """
        from runner import scheduleTask

        def run():
            scheduleTask("greet", {"name": "child"})
    """,
}


@pytest.fixture
def here(tmp_path):
    return write_project(tmp_path, TASKS)


def test_the_result_is_on_stdout_and_the_log_on_stderr(isolane, here):
    done = isolane("run", "greet", "--parameters", "-", stdin='{"name": "Ada"}')

    assert (done.returncode, json.loads(done.stdout)) == (0, {"greeted": "Ada"})
    assert done.stderr.endswith("stdout   hello Ada\n")
    assert not (here / ".isolane/isolane.db").exists()


@pytest.mark.parametrize(("task", "code"), [("fail", 1), ("vanish", 3), ("nothing", 1)])
def test_the_exit_code_tells_how_it_ended(isolane, here, task, code):
    done = isolane("run", task)

    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr or task == "fail"


def test_parameters_may_stand_in_a_file(isolane, here):
    (here / "ada.json").write_text('{"name": "Ada"}')

    assert json.loads(isolane("run", "greet", "--parameters", "@ada.json").stdout) == {"greeted": "Ada"}


def test_what_a_task_schedules_runs_too(isolane, here):
    done = isolane("run", "parent")

    assert (done.returncode, done.stdout) == (0, "null\n")
    assert "greet: hello child" in done.stderr
