"""Runs from the command line, against a server that really runs them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest

GREET = ("greet", "--parameters", '{"name": "Ada"}')
UNKNOWN = "019aa3d4-0000-7000-8000-000000000000"


def test_a_scheduled_run_is_told_by_its_id_and_can_be_waited_for(project):
    run = project.schedule(*GREET)

    waited = project("runs", "wait", run)

    assert (waited.returncode, waited.stdout) == (0, f"{run} succeeded\n")


@pytest.mark.parametrize(
    ("arguments", "code", "result", "said"),
    [
        (GREET, 0, {"greeted": "Ada", "exact": 2**64}, ""),
        (("fail",), 1, None, "ValueError: no way"),
        (("vanish", "--retry-attempts", "1"), 3, None, "exited with code 7"),
    ],
)
def test_waiting_prints_the_result_and_exits_as_the_run_did(project, arguments, code, result, said):
    done = project("schedule", *arguments, "--wait")

    assert done.returncode == code
    assert json.loads(done.stdout or "null") == result
    assert said in done.stderr
    assert "\x1b" not in done.stderr


def test_waiting_for_several_exits_as_the_worst(project):
    runs = [project.schedule(*GREET), project.schedule("fail"), project.schedule("vanish", "--retry-attempts", "1")]

    waited = project("runs", "wait", *runs)

    assert waited.returncode == 3
    assert [line.split()[:2] for line in waited.stdout.splitlines()] == [
        [runs[0], "succeeded"],
        [runs[1], "failed:"],
        [runs[2], "failed:"],
    ]


def test_waiting_may_be_bounded(project):
    project("queues", "pause", "bounded")
    run = project.schedule(*GREET, "--queue", "bounded")

    waited = project("runs", "wait", run, "--timeout", "50ms")

    assert waited.returncode == 3
    assert f"run {run} is queued" in waited.stderr


def test_json_is_the_document_of_http(project):
    run = project.schedule(*GREET, "--tag", "same", "--priority", "3", "--timeout", "20s", "--after", "5ms")
    project("runs", "wait", run)

    shown, listed, counted = (
        project.json("runs", "show", run),
        project.json("runs", "list", "--tag", "same"),
        project.json("runs", "list", "--count"),
    )

    assert shown == project.http(f"/runs/{run}")
    assert listed == project.http("/runs?tag=same") == {"items": [shown], "next_cursor": None}
    assert counted == project.http("/runs/count")
    assert (shown["tags"], shown["priority"], shown["result"]["exact"]) == (["same"], 3, 2**64)
    assert project.json("schedule", *GREET, "--wait", "--tag", "same").keys() == shown.keys()


def test_a_list_is_given_by_pages_or_whole(project):
    runs = [project.schedule(*GREET, "--tag", "pages") for _ in range(3)]

    first = project.json("runs", "list", "--tag", "pages", "--limit", "2")
    rest = project.json("runs", "list", "--tag", "pages", "--cursor", first["next_cursor"])
    whole = project.json("runs", "list", "--tag", "pages", "--limit", "2", "--all")

    assert [run["id"] for run in whole["items"]] == runs[::-1]
    assert [run["id"] for run in first["items"] + rest["items"]] == runs[::-1]
    assert rest["next_cursor"] is whole["next_cursor"] is None
    assert "pass --limit, --all" in project("runs", "list", "--tag", "pages", "--limit", "2").stderr


def test_tables_in_a_pipe_are_whole_and_without_escapes(project):
    run = project.schedule(*GREET, "--queue", "a queue with quite a long name, to be cut on a narrow terminal")
    project("runs", "wait", run)

    printed = project("runs", "list").stdout + project("runs", "show", run).stdout

    assert run in printed
    assert "to be cut on a narrow terminal" in printed
    assert "\x1b" not in printed


def test_show_says_why_a_run_waits(project):
    project("queues", "pause", "still")
    run = project.schedule(*GREET, "--queue", "still")

    assert "queue still is paused since" in project("runs", "show", run).stdout


def test_a_log_is_printed_with_control_characters_escaped(project):
    run = project.schedule("fail")
    project("runs", "wait", run)

    log = project("runs", "logs", run)

    assert "stderr   forged\\x1b[31m\\x9b1m" in log.stdout
    assert "\x1b" not in log.stdout
    [line] = [json.loads(line) for line in project("runs", "logs", run, "--json").stdout.splitlines()]
    assert (line["stream"], line["text"]) == ("stderr", "forged\\x1b[31m\\x9b1m")


def test_a_followed_log_comes_as_it_is_written_and_ends_with_the_run(project):
    run = project.schedule("linger")

    with project.open("runs", "logs", run, "--follow") as follower:
        assert follower.stdout.readline().endswith("stdout   begun\n")
        assert project("runs", "cancel", run).returncode == 0
        follower.communicate(timeout=30)

    assert follower.returncode == 0
    assert project("runs", "wait", run).returncode == 3


def test_a_retry_is_a_new_run(project):
    run = project.schedule("fail")
    project("runs", "wait", run)

    again = project("runs", "retry", run).stdout.strip()

    assert again != run
    shown = project.json("runs", "show", again)
    assert (shown["replay_of"], shown["root"]) == (run, run)


def test_to_repeat_what_succeeded_takes_force(project):
    run = project.schedule(*GREET)
    project("runs", "wait", run)

    refused = project("runs", "retry", run)
    again = project("runs", "retry", run, "--force").stdout.strip()

    assert refused.returncode == 1
    assert "succeeded: to do it a second time all the same, say force (--force)" in refused.stderr
    assert project.json("runs", "show", again)["replay_of"] == run


def test_what_is_refused_stops_nothing_else_and_is_told_in_a_line(project):
    project("queues", "pause", "refusing")
    run = project.schedule(*GREET, "--queue", "refusing")

    cancelled = project("runs", "cancel", UNKNOWN, run)
    deleted = project("runs", "delete", run, run)

    assert (cancelled.returncode, cancelled.stdout) == (1, f"{run} cancelled\n")
    assert cancelled.stderr.startswith(f"error: {UNKNOWN}: ")
    assert (deleted.returncode, deleted.stdout) == (1, f"{run} deleted\n")
    shown = project("runs", "show", run)
    assert shown.returncode == 1
    assert shown.stderr.startswith("error: ")
    assert len(shown.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gret",), "greet"),
        ((*GREET, "--after", "soon"), 'such as "200ms"'),
        ((*GREET, "--at", "2026-01-01T00:00:00"), "time zone"),
        ((*GREET, "--queue", "q" * 300), "queue"),
    ],
)
def test_a_refused_schedule_says_what_is_wrong(project, arguments, said):
    refused = project("schedule", *arguments)

    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert said in refused.stderr


def test_a_wrong_token_and_a_wrong_address_are_told(project):
    for options in (["--token", "wrong"], ["--url", "http://127.0.0.1:1", "--patience", "0"]):
        refused = project(*options, "runs", "cancel", UNKNOWN, UNKNOWN)
        assert refused.returncode == 1
        assert len(refused.stderr.splitlines()) == 1


def test_a_number_is_milliseconds_as_in_python(project):
    run = project.schedule(*GREET, "--after", "86400000")

    document = project.json("runs", "show", run)
    waits = datetime.fromisoformat(document["due_at"]) - datetime.fromisoformat(document["created_at"])
    assert waits == timedelta(days=1)
    assert "due in 23h" in project("runs", "list", "--all").stdout


def test_the_page_says_how_long_each_attempt_took_and_where(project):
    run = project.schedule(*GREET)
    project("runs", "wait", run)
    [node] = project.json("nodes", "list")["items"]

    page = project("runs", "show", run).stdout

    assert re.search(r"# +ended as +started +took +cpu +memory +node +why", page)
    assert re.search(r"success +(now|\d+s ago) +[\d.]+m?s ", page)
    assert node["id"] in page


def test_each_failed_attempt_shows_its_error(project):
    run = project.schedule("flaky")
    project("runs", "wait", run)

    attempts = project.json("runs", "show", run)["attempts"]
    page = project("runs", "show", run).stdout

    assert [attempt["error"] and attempt["error"]["message"] for attempt in attempts] == [
        "no first time",
        "'nor second'",
        None,
    ]
    assert all("flaky.py" in attempt["error"]["traceback"] for attempt in attempts[:2])
    _, first, second = re.split(r"error of attempt \d", page)
    assert "ValueError: no first time" in first
    assert "KeyError: 'nor second'" in second


def test_a_list_says_which_time_it_shows_and_how_often_each_was_tried(project):
    run = project.schedule(*GREET)
    project("runs", "wait", run)

    listed = project("runs", "list").stdout

    assert re.search(r"id +status +task +(queue +)?when +took +attempts", listed)
    assert re.search(rf"{run} +succeeded +greet +ended .* 1 *\n", listed)
