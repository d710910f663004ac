"""What works without a server: starting a project, writing a task, being told what is wrong."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from runner.cli.templates import template
from runner.config import read_settings
from runner.config.sections import ConfigFile
from support.projects import write_project
from support.warm import need_zygotes


def files(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_init_writes_a_project_and_says_what_to_type_next(isolane, tmp_path):
    made = isolane("init", "shop")

    assert made.returncode == 0
    assert set(files(tmp_path / "shop")) == {
        "config/isolane.toml",
        "tasks/hello.py",
        "test_hello.py",
        ".gitignore",
    }
    assert "cd shop && isolane run hello" in made.stdout
    assert ".isolane/" in (tmp_path / "shop/.gitignore").read_text()


def test_the_test_that_init_writes_passes(isolane, tmp_path):
    isolane("init", "shop")

    tried = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "shop", env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "2 passed" in tried.stdout, tried.stdout


def test_every_key_is_printed_where_the_config_of_init_says_so(isolane):
    isolane("init")
    said = re.search("`isolane (config [a-z]+)` prints every key", template("isolane.toml"))

    printed = isolane(*said[1].split())

    assert printed.returncode == 0
    for name in ConfigFile.model_fields:
        assert re.search(rf"^(# )?\[+{name}\b", printed.stdout, re.MULTILINE), name


def test_the_config_that_init_writes_is_right(isolane):
    isolane("init")

    checked = isolane("config", "check")

    assert checked.returncode == 0
    assert checked.stdout.endswith("config/isolane.toml is right\n")


def test_what_the_config_of_init_shows_as_defaults_are_the_defaults(tmp_path):
    shown = re.sub(r"^# (?=\[|\w+ = )", "", template("isolane.toml"), flags=re.MULTILINE)
    shown = shown.replace('require = "full"', "")
    (tmp_path / "data").mkdir()
    shown = shown.replace('"../shoplib"', '"data"')

    read = [read_settings(text, file=Path("x"), project=tmp_path) for text in (tomllib.loads(shown), {})]

    for section in ("runner", "sandbox", "limits", "retention"):
        assert len({getattr(settings, section) for settings in read}) == 1, section
    assert len({repr(settings.task_options("other", {})) for settings in read}) == 1


def test_init_never_overwrites_and_names_what_exists(isolane, tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/hello.py").write_text("mine")

    refused = isolane("init")

    assert refused.returncode == 1
    assert "tasks/hello.py" in refused.stderr
    assert files(tmp_path) == {"tasks/hello.py": "mine"}


def test_init_adds_to_a_gitignore_that_is_there(isolane, tmp_path):
    (tmp_path / ".gitignore").write_text("*.log")

    assert isolane("init").returncode == 0

    assert (tmp_path / ".gitignore").read_text() == "*.log\n.isolane/\nconfig/secrets.env\n"


def test_a_new_task_is_python_and_dots_make_folders(isolane, tmp_path):
    isolane("init")

    made = isolane("tasks", "new", "billing.invoice")

    assert made.returncode == 0
    assert "isolane run billing.invoice" in made.stdout
    ast.parse((tmp_path / "tasks/billing/invoice.py").read_text())


def test_a_new_task_never_overwrites(isolane, tmp_path):
    isolane("init")
    before = files(tmp_path)

    refused = isolane("tasks", "new", "hello")

    assert refused.returncode == 1
    assert "tasks/hello.py exists" in refused.stderr
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["hello.world", "a"])
def test_a_new_task_never_hides_another(isolane, tmp_path, name):
    isolane("init")
    (tmp_path / "tasks/a").mkdir()
    before = files(tmp_path)

    refused = isolane("tasks", "new", name)

    assert refused.returncode == 1
    assert "hide each other" in refused.stderr
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["../x", "a..b", "", "_helper", "class", "a-b", "a/b"])
def test_a_new_task_needs_a_name_that_python_can_import(isolane, tmp_path, name):
    isolane("init")
    before = files(tmp_path)

    refused = isolane("tasks", "new", name)

    assert refused.returncode == 2
    assert "is no name of a Python module" in refused.stderr
    assert files(tmp_path) == before


def test_a_new_task_outside_a_project_says_what_to_do(isolane):
    refused = isolane("tasks", "new", "hello")

    assert refused.returncode == 1
    assert "isolane init" in refused.stderr


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ('{"a":}', "line 1 column 6"),
        ("[1]", "must be a JSON object"),
        ('{"a": NaN}', "out of range"),
        ("@nothing.json", "cannot read nothing.json: No such file"),
        ('{"a": "\\ud800"}', "lone surrogate"),
    ],
)
def test_wrong_parameters_are_a_usage_error_that_names_the_place(isolane, parameters, said):
    refused = isolane("schedule", "hello", "--parameters", parameters)

    assert refused.returncode == 2
    assert said in refused.stderr


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["runs", "nothing"], ["schedule"], ["runs", "list", "--limit", "0"]]
)
def test_a_wrong_call_exits_with_2(isolane, arguments):
    refused = isolane(*arguments)

    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_without_a_server_the_error_says_how_to_start_one(isolane):
    isolane("init")

    refused = isolane("--patience", "0", "runs", "list")

    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "isolane serve" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_file_of_secrets_that_others_can_read_is_told_with_the_fix_and_without_what_is_in_it(isolane, tmp_path):
    isolane("init")
    with (tmp_path / "config/isolane.toml").open("a") as config:
        config.write('[secrets]\nfile = "config/secrets.env"\n')
    (tmp_path / "config/secrets.env").write_text("SMTP_PASSWORD=hunter2\n")
    (tmp_path / "config/secrets.env").chmod(0o644)

    refused = isolane("config", "check")

    assert refused.returncode != 0
    assert f"chmod 600 {tmp_path}/config/secrets.env" in refused.stderr
    assert "hunter2" not in refused.stdout + refused.stderr


def test_a_missing_or_wrong_config_is_named_in_one_line(isolane, tmp_path):
    missing = isolane("config", "check")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/isolane.toml").write_text("[runner]\nconcurency = 4\n")
    wrong = isolane("config", "check")

    for refused in (missing, wrong):
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: ")
        assert "config/isolane.toml" in refused.stderr
    assert "concurency" in wrong.stderr


def test_the_version_is_told(isolane):
    assert isolane("--version").stdout.startswith("isolane 0.")


def test_help_loads_neither_the_server_nor_tables(isolane):
    helped = isolane("--help", PYTHONPROFILEIMPORTTIME="1")

    assert helped.returncode == 0
    for heavy in ("aiohttp", "rich", "pydantic", "runner.app", "http.client"):
        assert f" {heavy}\n" not in helped.stderr


def test_the_doctor_tells_walls_and_limits_apart(isolane):
    told = isolane("doctor")
    document = json.loads(isolane("doctor", "--json").stdout)

    assert told.returncode == 0
    assert "Tasks are confined at level full." in told.stdout
    assert document["level"] == "full"
    assert {finding["kind"] for finding in document["findings"]} == {"level", "wall", "limit"}
    assert isolane("doctor", "--require", "full").returncode == 0


def test_the_doctor_tells_in_a_project_which_tasks_start_warm_and_why_others_do_not(isolane, tmp_path):
    need_zygotes(tmp_path)
    write_project(
        tmp_path,
        {
            "quiet.py": "def run(): pass",
            "busy.py": "import threading\nthreading.Thread(target=threading.Event().wait).start()\ndef run(): pass",
            "broken.py": "import nothing_of_this_name",
        },
    )

    told = isolane("doctor")
    document = json.loads(isolane("doctor", "--json").stdout)

    assert told.returncode == 0
    assert re.search(r"tasks/busy\.py +anew +warming up, it started 1 thread", told.stdout)
    assert re.search(r"tasks/quiet\.py +warm", told.stdout)
    assert document["tasks"] == [
        {"file": "tasks/busy.py", "warm": False, "reason": "started 1 thread"},
        {"file": "tasks/quiet.py", "warm": True, "reason": None},
    ]


def test_the_doctor_says_that_warm_starts_are_turned_off(isolane, tmp_path):
    write_project(tmp_path, {"quiet.py": "def run(): pass"}, '[sandbox]\nkeep_warm = "0s"\n')

    assert 'since [sandbox] keep_warm is "0s"' in isolane("doctor").stdout


def test_the_doctor_names_a_preload_that_is_not_there(isolane, tmp_path):
    need_zygotes(tmp_path)
    write_project(tmp_path, {"quiet.py": "def run(): pass"}, '[sandbox]\npreload = ["nothing_of_this_name"]\n')

    [task] = json.loads(isolane("doctor", "--json").stdout)["tasks"]

    assert not task["warm"]
    assert "[sandbox] preload names nothing_of_this_name, whose import raised ModuleNotFoundError" in task["reason"]


@pytest.mark.parametrize("group", ["", "runs", "queues", "nodes", "tasks", "store", "config"])
def test_each_command_is_told_in_one_whole_line(isolane, group):
    helped = isolane(*group.split(), "--help")

    commands = helped.stdout.partition("Commands:\n")[2].splitlines()
    assert commands
    assert [line for line in commands if not line.endswith(".") or line.endswith("...") or line.startswith("   ")] == []
