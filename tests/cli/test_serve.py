"""`isolane serve`: stopped, and started where it cannot be."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import urllib.request
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from support.projects import CONFIG
from support.waiting import eventually


def test_a_second_server_is_told_what_is_in_its_way(served, isolane):
    project, _ = served
    isolane("init")

    on_the_port = isolane("serve", "--port", project.url.rpartition(":")[2])
    on_the_store = project("serve", "--port", "0")

    assert "pass --port" in on_the_port.stderr
    assert "another runner has the store" in on_the_store.stderr
    for refused in (on_the_port, on_the_store):
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr


def test_a_followed_log_that_is_cut_off_is_told_from_one_that_ended(served):
    project, server = served
    run = project.schedule("linger")

    with project.open("runs", "logs", run, "--follow") as follower:
        follower.stdout.readline()
        assert server.stop() == 0
        follower.communicate(timeout=30)

    assert follower.returncode == 1


def test_ctrl_c_stops_it_in_order(served):
    _, server = served

    server.process.send_signal(signal.SIGINT)

    assert server.process.wait(timeout=30) == 0
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(served, second):
    project, server = served
    config = project.folder / "config" / "isolane.toml"
    assert server.stop() == 0
    config.write_text(CONFIG.replace('stop_grace = "200ms"', 'stop_grace = "10m"'))
    server.start().close()
    run = project.schedule("linger")
    with project.open("runs", "logs", run, "--follow") as follower:
        follower.stdout.readline()
        follower.terminate()
    server.ask_to_stop()
    eventually(lambda: server.log().count("once more ends it at once") == 2)

    server.ask_to_stop(second)

    assert server.process.wait(timeout=10) == -second
    assert f"{second.name} while it stopped: ending at once" in server.log()
    assert "Traceback" not in server.log()
    config.write_text(CONFIG)
    server.start().close()
    assert "lost" in str(project.json("runs", "show", run))
    assert server.stop() == 0


@pytest.mark.parametrize("command", [("schedule", "greet", "-p", '{"name": "Ada"}', "--wait"), ("runs", "wait")])
def test_the_command_line_waits_for_a_server_that_is_started_again(served, command):
    project, server = served
    run = () if command[0] == "schedule" else (project.schedule("greet", "--after", "3s", "-p", '{"name": "Ada"}'),)
    server.kill()
    with project.open("--patience", "60s", *command, *run, stderr=subprocess.PIPE) as waiting:
        assert "trying again for up to 1m (--patience)" in waiting.stderr.readline()
        server.start().close()
        printed, _ = waiting.communicate(timeout=60)

    assert waiting.returncode == 0
    assert "Ada" in printed or "succeeded" in printed
    assert server.stop() == 0


def test_without_a_server_the_command_line_says_so_at_once_where_it_shall_not_wait(served):
    project, server = served
    server.kill()

    refused = project("--patience", "0", "runs", "list")

    assert refused.returncode == 1
    assert refused.stderr.startswith("error: nothing answers at ")
    assert "patience must be a duration" in project("--patience", "soon", "runs", "list").stderr


@pytest.mark.parametrize("modes", [0o777, 0o770])
def test_a_state_that_others_may_write_is_not_used(isolane, tmp_path, modes):
    isolane("init")
    (tmp_path / ".isolane").mkdir(exist_ok=True)
    (tmp_path / ".isolane").chmod(modes)

    refused = isolane("serve", "--port", "0")

    assert refused.returncode == 1
    assert "chmod go-w" in refused.stderr


def test_without_descriptors_it_goes_on_and_says_so_once(served):
    project, server = served
    address = urlsplit(project.url)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (120, 120))

    with ExitStack() as stack:
        for _ in range(400):
            half = stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=30))
            half.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-")
        with urllib.request.urlopen(f"{project.url}/healthz", timeout=60) as answer:
            assert answer.status == 200

    assert server.log().count("the system allows no more connections") == 1
    assert "Traceback" not in server.log()
    assert len(server.log()) < 10_000
    assert project.schedule("greet")
