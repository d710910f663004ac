"""`isolane nodes`: who is there, and emptying one."""

from __future__ import annotations

import platform

from support.waiting import eventually


def test_the_list_says_who_is_there_and_what_walls_stand(project):
    printed = project("nodes", "list").stdout

    assert "0/4" in printed
    assert "up" in printed
    assert "full" in printed
    assert platform.python_version() in printed


def test_the_json_is_what_http_gives(project):
    [shown] = project.json("nodes", "list")["items"]
    [answered] = project.http("/nodes")["items"]

    for changing in ("last_seen_at", "last_seen_s_ago"):
        del shown[changing], answered[changing]
    assert shown == answered
    assert set(shown) == {
        "id", "name", "state", "running", "slots", "memory_bytes", "lease_s", "version", "sandbox", "started_at",
    }  # fmt: skip


def test_a_node_that_is_not_there_cannot_be_drained(project):
    done = project("nodes", "drain", "nowhere")

    assert done.returncode == 1
    assert "no node is named 'nowhere'" in done.stderr


def test_a_drained_node_starts_nothing_more(served):
    project, _ = served
    [node] = project.json("nodes", "list")["items"]

    done = project("nodes", "drain", node["name"])
    run = project.schedule("greet", "--parameters", '{"name": "you"}')

    assert done.stdout == f"{node['name']} starts nothing more\n"
    assert project.json("nodes", "list")["items"][0]["state"] == "draining"
    eventually(lambda: "the node was asked to start nothing more" in project.json("runs", "show", run)["why"])


def test_a_node_is_drained_by_the_id_that_the_list_shows_and_goes_on_again(served):
    project, server = served
    [node] = project.json("nodes", "list")["items"]

    assert project("nodes", "drain", node["id"]).stdout == f"{node['id']} starts nothing more\n"
    assert "asked to start nothing more" in server.log()
    run = project.schedule("greet", "--parameters", '{"name": "you"}')
    assert project("nodes", "undrain", node["id"][:-2]).stdout == f"{node['id'][:-2]} starts again\n"

    assert project("runs", "wait", run).returncode == 0
    assert project.json("nodes", "list")["items"][0]["state"] == "up"
