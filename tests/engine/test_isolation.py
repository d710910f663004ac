"""What a task sees: its own code, what it was given, and nothing else of the host."""

from __future__ import annotations

from pathlib import Path

from support.nodes import running_node
from support.projects import CONFIG, write_project

MOUNTS = """
[[mounts]]
source = "given"
target = "/given"
[[mounts]]
source = "shared"
target = "/shared"
writable = true
tasks = ["look.writes"]
"""

TASKS = """
    import os, socket
    from pathlib import Path
    from runner import task

    @task
    def environment():
        return dict(os.environ)

    @task
    def descriptors():
        return sorted(int(name) for name in os.listdir("/proc/self/fd"))

    @task
    def sees(parameters):
        return {path: os.path.exists(path) for path in parameters["paths"]}

    @task
    def reads(parameters):
        return Path(parameters["path"]).read_text()

    @task
    def writes(parameters):
        Path(parameters["path"]).write_text("written")

    @task
    def leaves(parameters):
        seen = os.path.exists("/tmp/left")
        Path("/tmp/left").write_text("x")
        return seen

    @task
    def connects(parameters):
        socket.create_connection(("127.0.0.1", parameters["port"]), timeout=2)
"""


def project(folder: Path) -> Path:
    (folder / "given").mkdir()
    (folder / "given" / "note.txt").write_text("for you")
    (folder / "given" / "note.txt").chmod(0o600)
    (folder / "shared").mkdir()
    return write_project(folder, {"look.py": TASKS}, CONFIG + MOUNTS)


async def test_a_task_gets_no_environment_but_what_it_was_given(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    async with running_node(project(tmp_path)) as node:
        environment = (await node.run("look.environment"))["result"]

        assert set(environment) <= {"PATH", "HOME", "LANG", "TMPDIR", "LC_CTYPE"}


async def test_a_task_inherits_its_standard_streams_and_one_channel(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        descriptors = (await node.run("look.descriptors"))["result"]

        assert len(descriptors) <= 5  # 0, 1, 2, the channel, and the one that lists
        assert descriptors[:3] == [0, 1, 2]


async def test_a_task_sees_no_file_of_the_project_beside_its_code(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        paths = [str(tmp_path / ".isolane" / "isolane.db"), str(tmp_path / "config"), str(tmp_path), "/shared"]
        seen = (await node.run("look.sees", {"paths": [*paths, "/code/tasks/look.py"]}))["result"]

        assert seen == {**dict.fromkeys(paths, False), "/code/tasks/look.py": True}


async def test_a_mount_is_read_only_unless_it_is_granted(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        assert (await node.run("look.reads", {"path": "/given/note.txt"}))["result"] == "for you"
        refused = await node.run("look.writes", {"path": "/given/new.txt"})
        assert "Read-only file system" in refused["error"]["message"]
        assert (await node.run("look.writes", {"path": "/shared/new.txt"}))["status"] == "succeeded"

    written = tmp_path / "shared" / "new.txt"
    assert written.read_text() == "written"
    assert written.stat().st_uid == tmp_path.stat().st_uid


async def test_code_and_system_cannot_be_written(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        for path in ("/code/tasks/look.py", "/usr/lib/x", "/etc/passwd"):
            run = await node.run("look.writes", {"path": path})
            assert run["error"]["type"] in ("OSError", "PermissionError"), path


async def test_nothing_is_left_for_the_next_attempt(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        assert [(await node.run("look.leaves"))["result"] for _ in range(2)] == [False, False]


async def test_a_task_has_no_network(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        async with running_node(project(tmp_path)) as node:
            run = await node.run("look.connects", {"port": server.getsockname()[1]})

            assert (run["status"], run["reason"]) == ("failed", "error")
