"""Queues and tasks from the command line."""

from __future__ import annotations

from urllib.parse import quote

NAME = 'a/b %2F {tenant} ?x=1 "grüße" ☃'
GREET = ("greet", "--parameters", '{"name": "Ada"}')


def test_a_queue_is_paused_shown_purged_and_resumed(project):
    assert project("queues", "pause", NAME).stdout == f"{NAME} is paused\n"
    run = project.schedule(*GREET, "--queue", NAME)

    queue = project.json("queues", "show", NAME)
    assert queue == project.http(f"/queues/{quote(NAME, safe='')}")
    assert (queue["name"], queue["waiting"], queue["paused_at"] is not None) == (NAME, 1, True)
    assert project.json("queues", "list") == project.http("/queues")
    assert NAME in project("queues", "list").stdout
    assert "paused" in project("queues", "show", NAME).stdout

    assert project("queues", "purge", NAME).stdout == f"1 runs of {NAME} are cancelled\n"
    assert project.json("runs", "show", run)["status"] == "cancelled"
    assert project("queues", "resume", NAME).stdout == f"{NAME} is open\n"
    assert project("schedule", *GREET, "--queue", NAME, "--wait").returncode == 0


def test_who_holds_a_queue_is_shown_and_cannot_be_released(project):
    run = project.schedule("linger", "--queue", "held")
    with project.open("runs", "logs", run, "--follow") as follower:
        follower.stdout.readline()
        shown = project("queues", "show", "held").stdout
        released = project("queues", "release", "held")
        project("runs", "cancel", run)
        follower.communicate(timeout=30)

    assert run in shown
    assert released.returncode == 1
    assert "cancel" in released.stderr


def test_tasks_are_listed_with_the_files_that_do_not_work(project):
    listed = project("tasks", "list")

    assert listed.returncode == 0
    assert "greet" in listed.stdout
    assert "broken.py does not work" in listed.stdout
    assert "nothing_of_this_name" in listed.stdout
    assert project.json("tasks", "list") == project.http("/tasks")


def test_a_task_is_shown_with_its_options(project):
    assert project.json("tasks", "show", "greet") == project.http("/tasks/greet")
    assert "timeout" in project("tasks", "show", "greet").stdout
    unknown = project("tasks", "show", "gret")
    assert unknown.returncode == 1
    assert "greet" in unknown.stderr


def test_a_queue_that_nobody_uses_says_that_any_name_is_one(project):
    assert "any name is a queue" in project("queues", "show", "nope").stderr
