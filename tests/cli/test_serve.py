"""`isolane serve`: stopped, and started where it cannot be."""

from __future__ import annotations

import resource
import signal
import socket
import urllib.request
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest


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
