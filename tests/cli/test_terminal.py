"""What people see on a terminal: colour, unless they asked for none, within its width, and nothing that steers it."""

from __future__ import annotations

import re
import textwrap
import unicodedata

import pytest

from support.waiting import eventually

HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x1b]52;c;cm0=\x07\x9b31m\u202e\u2066\u2028\rharmless\n2026-11-28 00:00:00,000 INFO forged"
)
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


def unsafe(text: str) -> set[str]:
    """What could steer a terminal, or look like the beginning of a line."""
    return {each for each in text if each not in "\n\t" and unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp"}}


@pytest.fixture
def hostile(served):
    """A served project whose files say hostile things wherever a file can, and its server."""
    project, server = served
    for name, source in {
        "evil.py": f"raise ValueError({HOSTILE!r})",
        "loud.py": f"""
            from runner import task
            @task(description={HOSTILE!r})
            def run(parameters):
                print({HOSTILE!r})
                if parameters: raise RuntimeError({HOSTILE!r})
                return {{{HOSTILE!r}: {HOSTILE!r}}}
        """,
        "\x1b[31mname.py": "x = 1",
        "two\nlines.py": "x = 1",
    }.items():
        (project.folder / "tasks" / name).write_text(textwrap.dedent(source))
    eventually(lambda: {"tasks/evil.py", "tasks/two\\nlines.py"} <= {each["file"] for each in problems(project)})
    return project, server


def problems(project):
    return project.json("tasks", "list")["problems"]


def test_nothing_that_is_said_inside_or_by_a_name_steers_what_shows_it(hostile):
    """Attack 86."""
    project, server = hostile
    succeeded, failed = project.schedule("loud"), project.schedule("loud", "-p", '{"a": 1}')
    for run in (succeeded, failed):
        project("runs", "wait", run)

    for arguments in (
        ["tasks", "list"],
        ["tasks", "list", "--json"],
        ["tasks", "show", "loud"],
        ["tasks", "show", HOSTILE],
        ["runs", "list"],
        ["runs", "list", "--tag", HOSTILE],
        ["runs", "list", "--nonsense", HOSTILE],
        ["runs", "list", f"--{HOSTILE}"],
        ["runs", "show", HOSTILE],
        *(["runs", "show", run] for run in (succeeded, failed)),
        *(["runs", "logs", run] for run in (succeeded, failed)),
        ["runs", "logs", failed, "--json"],
        ["runs", "wait", succeeded, failed],
        ["queues", "pause", HOSTILE],
        ["queues", "list"],
        ["schedule", "loud", "--wait"],
        ["run", "loud", "-p", '{"a": 1}'],
        ["run", "evil"],
        ["doctor"],
    ):
        done = project(*arguments)
        assert not unsafe(done.stdout + done.stderr), arguments
        assert not re.search(r"^2026-11-28 00:00:00", done.stderr, re.MULTILINE), arguments
    assert server.stop() == 0
    server.start()
    assert "evil.py" in server.log()
    assert not unsafe(server.log())
    assert not re.search(r"^2026-11-28 00:00:00", server.log(), re.MULTILINE)
