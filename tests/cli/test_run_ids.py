"""Runs are named by an id, its beginning or `@last`; a list says why they do not run."""

from __future__ import annotations

import os.path
import re

import pytest

from support.waiting import eventually

GREET = ("greet", "--parameters", '{"name": "Ada"}')
SPAWN = "from runner import scheduleTask\n\ndef run(): return scheduleTask('greet', {'name': 'Eve'}).id\n"


def test_a_beginning_that_only_one_run_has_names_it(project):
    run = project.schedule(*GREET)
    beginning = run[:-1]

    waited, shown = project("runs", "wait", beginning), project("runs", "show", beginning)
    logged, repeated = project("runs", "logs", beginning), project("runs", "retry", "--force", beginning)

    assert waited.stdout == f"{run} succeeded\n"
    assert run in shown.stdout
    assert "hello Ada" in logged.stdout
    assert project.json("runs", "show", repeated.stdout.strip())["replay_of"] == run
    project("runs", "wait", repeated.stdout.strip())
    assert project("runs", "delete", beginning).stdout == f"{run} deleted\n"


def test_a_beginning_that_several_have_is_refused_with_the_candidates(project):
    runs = [project.schedule(*GREET, "--after", "1h") for _ in range(2)]
    beginning = os.path.commonprefix(runs)  # noqa: RUF071 - of texts

    cancelled = project("runs", "cancel", beginning)

    assert cancelled.returncode == 1
    assert f"runs have an id that begins with {beginning}" in cancelled.stderr
    for run in runs:
        assert f"{run} scheduled greet" in cancelled.stderr
        assert project.json("runs", "show", run)["status"] == "scheduled"
    project("runs", "cancel", *runs)


@pytest.mark.parametrize(("name", "said"), [("ffff", "none of the newest 10000 runs"), ("fff", "no run fff")])
def test_a_beginning_that_none_has_is_told(project, name, said):
    shown = project("runs", "show", name)

    assert shown.returncode == 1
    assert said in shown.stderr


def test_last_is_the_newest_run_that_was_asked_for_from_outside(project):
    (project.folder / "tasks" / "spawn.py").write_text(SPAWN)
    eventually(lambda: "spawn" in project("tasks", "list").stdout, within_s=60)
    run = project.schedule("spawn")

    project("runs", "wait", "@last")
    child = project.json("runs", "show", run)["result"]
    project("runs", "wait", child)

    assert project.json("runs", "list")["items"][0]["id"] == child
    assert project.json("runs", "show", "@last")["id"] == run


def test_a_list_says_why_a_run_does_not_run_where_there_is_room(project):
    project("queues", "pause", "stopped")
    run = project.schedule(*GREET, "--queue", "stopped")
    list_ = ("runs", "list", "--queue", "stopped")

    narrow, broad = project.on_terminal(*list_), project.on_terminal(*list_, COLUMNS="160")
    wide, piped = project.on_terminal(*list_, "--wide"), project(*list_).stdout

    assert "paused" not in narrow + piped
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", narrow).splitlines())) <= 80
    for printed in (broad, wide, project(*list_, "--wide").stdout):
        assert "queue stopped is paused" in printed
    project("runs", "cancel", run)
