"""What people see on a terminal: colour, unless they asked for none, within its width, and nothing that steers it."""

from __future__ import annotations

import re

GREET = ("greet", "--parameters", '{"name": "Ada"}')
STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")


def test_a_list_fits_80_columns_and_keeps_ids_whole(project):
    run = project.schedule("greet", "-p", '{"name": "Ada"}', "--queue", "a queue with quite a long name" * 3)
    project("runs", "wait", run)

    printed = project.on_terminal("runs", "list")

    assert COLOUR.search(printed)
    plain = STYLE.sub("", printed)
    assert run in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_no_color_is_honoured(project):
    run = project.schedule("fail")
    project("runs", "wait", run)

    for arguments in (["runs", "list"], ["runs", "show", run], ["runs", "logs", run], ["queues", "list"]):
        assert not COLOUR.search(project.on_terminal(*arguments, NO_COLOR="1"))


def test_nothing_of_a_task_reaches_the_terminal_as_a_command(project):
    run = project.schedule("fail", "--tag", "x")
    project("runs", "wait", run)

    for arguments in (["runs", "logs", run], ["runs", "show", run], ["runs", "show", run, "--json"]):
        printed = STYLE.sub("", project.on_terminal(*arguments))
        assert "\x1b" not in printed
        assert "\x9b" not in printed
        assert "\x07" not in printed


def test_waiting_ends_on_a_terminal_too(project):
    printed = project.on_terminal("schedule", *GREET, "--wait")

    assert '"greeted": "Ada"' in printed
