"""What mounts show of the host: what they name, to whom they name it, and nothing else, whatever tasks do there."""

from __future__ import annotations

from pathlib import Path

from support.nodes import Node, running_node
from support.projects import CONFIG, write_project

TASKS = """
    import os
    from pathlib import Path
    from runner import task

    @task
    def tree(parameters):
        return sorted(str(path) for path in Path(parameters["of"]).rglob("*"))

    @task
    def reads(parameters):
        return Path(parameters["path"]).read_text()

    @task
    def writes(parameters):
        Path(parameters["path"]).write_text(parameters.get("text", "written"))

    @task
    def turns_into_a_link(parameters):
        place = Path(parameters["place"])
        place.rename(str(place) + ".old")
        place.symlink_to(parameters["to"])
"""


def mount(source: str, target: str, more: str = "") -> str:
    return f'[[mounts]]\nsource = "{source}"\ntarget = "{target}"\n{more}\n'


WRITABLE = "writable = true"


def project(folder: Path, *mounts: str) -> Path:
    for name in ("data/inner", "other", "private"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(f"of {name}")
    return write_project(folder, {"files.py": TASKS}, CONFIG + "".join(mounts))


async def lost(node: Node, task: str, parameters: object) -> str:
    """Why a run could not be executed."""
    run = await node.run(task, parameters, retry={"lost": 0})
    assert (run["reason"], run["result"]) == ("lost", None)
    return str(run["why"])


async def test_each_task_sees_the_mounts_that_name_it(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("data", "/data"), mount("other", "/other", 'tasks = ["files.tree"]'))
    async with running_node(folder) as node:
        assert (await node.run("files.tree", {"of": "/other"}))["result"] == ["/other/file"]
        assert (await node.run("files.reads", {"path": "/data/inner/file"}))["result"] == "of data/inner"
        assert (await node.run("files.reads", {"path": "/other/file"}))["error"]["type"] == "FileNotFoundError"


NAMED = """
    from pathlib import Path
    from runner import task

    @task(name="files.free")
    def free(parameters):
        return Path("/other/file").read_text()
"""


async def test_a_task_takes_no_mount_by_a_name_that_its_file_chose(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("other", "/other", 'tasks = ["files.*"]'))
    write_project(folder, {"untrusted/x.py": NAMED}, (folder / "config" / "isolane.toml").read_text())
    async with running_node(folder) as node:
        assert (await node.run("files.reads", {"path": "/other/file"}))["result"] == "of other"
        assert (await node.run("files.free"))["error"]["type"] == "FileNotFoundError"


async def test_a_mount_stands_inside_of_another_each_with_its_own_right_to_write(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("data", "/data"), mount("other", "/data/inner", WRITABLE))
    async with running_node(folder) as node:
        assert (await node.run("files.reads", {"path": "/data/inner/file"}))["result"] == "of other"
        assert (await node.run("files.writes", {"path": "/data/inner/new"}))["status"] == "succeeded"
        assert (await node.run("files.writes", {"path": "/data/new"}))["error"]["type"] == "OSError"
    assert (tmp_path / "other" / "new").read_text() == "written"
    assert sorted(path.name for path in (tmp_path / "data" / "inner").iterdir()) == ["file"]


async def test_a_single_file_is_mounted_and_written_in_place(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("other/file", "/deep/down/it", WRITABLE), mount("data/inner/file", "/one"))
    async with running_node(folder) as node:
        assert (await node.run("files.tree", {"of": "/deep"}))["result"] == ["/deep/down", "/deep/down/it"]
        assert (await node.run("files.writes", {"path": "/deep/down/it"}))["status"] == "succeeded"
        assert (await node.run("files.writes", {"path": "/one"}))["error"]["type"] == "OSError"
    assert (tmp_path / "other" / "file").read_text() == "written"


async def test_a_source_may_be_named_through_a_link_which_is_followed_once_at_the_start(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("current", "/data"))
    (folder / "current").symlink_to("other")
    async with running_node(folder) as node:
        (folder / "current").unlink()
        (folder / "current").symlink_to("private")
        assert (await node.run("files.reads", {"path": "/data/file"}))["result"] == "of other"


async def test_a_link_in_a_mount_leads_nowhere_on_the_host(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("data", "/data"))
    (folder / "data" / "link").symlink_to(folder / "private")
    async with running_node(folder) as node:
        run = await node.run("files.reads", {"path": "/data/link/file"})
        assert run["error"]["type"] == "FileNotFoundError"


async def test_a_source_that_went_away_is_named_and_the_run_waits_for_it(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("other", "/data"))
    async with running_node(folder) as node:
        (folder / "other").rename(folder / "moved")
        why = await lost(node, "files.reads", {"path": "/data/file"})
        assert "through no fault of the task" in why
        assert str(folder / "other") in why

        run = await node.schedule("files.reads", {"path": "/data/file"}, retry={"first": "200ms"})
        (folder / "moved").rename(folder / "other")
        assert (await node.ended(run["id"]))["result"] == "of other"


async def test_a_source_that_was_replaced_is_shown_from_the_next_attempt_on(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("other", "/data"))
    async with running_node(folder) as node:
        for _ in range(3):
            assert (await node.run("files.reads", {"path": "/data/file"}))["result"] == "of other"
        (folder / "other").rename(folder / "moved")
        (folder / "private").rename(folder / "other")

        assert (await node.run("files.reads", {"path": "/data/file"}))["result"] == "of private"


async def test_what_a_task_turned_into_a_link_shows_nothing_else_of_the_host(tmp_path: Path) -> None:
    folder = project(tmp_path, mount("data", "/data", WRITABLE), mount("data/inner", "/inner"))
    async with running_node(folder) as node:
        assert (await node.run("files.reads", {"path": "/inner/file"}))["result"] == "of data/inner"
        await node.run("files.turns_into_a_link", {"place": "/data/inner", "to": str(folder / "private")})

        assert "a symbolic link leads to" in await lost(node, "files.reads", {"path": "/inner/file"})


async def test_a_place_of_a_mount_that_became_a_link_takes_no_wall_away(tmp_path: Path) -> None:
    anew = '[sandbox]\nkeep_warm = "0s"\n'  # where an attempt is forked warm, the mount stays where it was made
    folder = project(tmp_path, mount("data", "/data", WRITABLE), mount("other", "/data/inner/tasks"), anew)
    (folder / "data" / "inner" / "tasks").mkdir()
    async with running_node(folder) as node:
        assert (await node.run("files.reads", {"path": "/data/inner/tasks/file"}))["result"] == "of other"
        await node.run("files.turns_into_a_link", {"place": "/data/inner", "to": "/code"})

        why = await lost(node, "files.reads", {"path": "/code/tasks/file"})
        assert "a symbolic link leads to /data/inner/tasks" in why
