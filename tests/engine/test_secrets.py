"""A task gets the secrets that it names, and nothing that isolane keeps ever holds one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.app import APP
from runner.errors import ConfigError, UnknownTaskError
from runner.store.contract import RunFilter
from support.nodes import Node, running_node
from support.projects import CONFIG, write_project
from support.waiting import eventually_async

PASSWORD = "tr0ub4dor&\"3'\\ü"
KEY = "-----BEGIN KEY-----\nc2VjcmV0IGtleSBvbmU\nc2VjcmV0IGtleSB0d28\n-----END KEY-----"
OTHER = "somebody-elses-token"
FILE = f"# of the shop\nPASSWORD={PASSWORD}\nOTHER = '{OTHER}'\n"
SECRETS = '[secrets]\nfile = "config/secrets.env"\nKEY = { file = "config/key.pem" }\n'

SPY = (Path(__file__).parent / "spy" / "tasks" / "spy.py").read_text()


def project(folder: Path, config: str = SECRETS, *, tasks: str = SPY) -> Path:
    write_project(folder, {"spy.py": tasks}, CONFIG + config)
    for name, text in (("secrets.env", FILE), ("key.pem", KEY + "\n")):
        (folder / "config" / name).write_text(text)
        (folder / "config" / name).chmod(0o600)
    return folder


def assert_nothing_is_kept(folder: Path) -> None:
    """No file of the node holds a value, whole or a line of it, as it is or as JSON writes it."""
    needles = [PASSWORD, PASSWORD.replace("\\", "\\\\").replace('"', '\\"'), OTHER, *KEY.split("\n")]
    files = [path for path in (folder / ".isolane").rglob("*") if path.is_file()]
    assert any(path.name == "isolane.db" for path in files)
    for path in files:
        data = path.read_bytes()
        assert not [needle for needle in needles if needle.encode() in data], path


async def test_a_task_has_the_secrets_that_it_names_and_their_names_only_are_shown(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await node.run("spy.measures")

        assert run["result"] == {
            "names": ["PASSWORD", "KEY"],
            "lengths": [len(PASSWORD), len(KEY)],
            "shown": "<Secrets PASSWORD, KEY>",
        }


async def test_a_secret_that_is_not_named_is_a_key_error_that_says_what_to_add(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await node.run("spy.has_none")

        assert run["error"]["type"] == "KeyError"
        assert "@task(secrets=['PASSWORD'])" in run["error"]["message"]
        assert (await node.run("spy.changes"))["error"]["type"] == "TypeError"


NAMED = """
    from runner import task

    @task(name="spy.free", secrets=["TOKEN"])
    def free(parameters, context):
        return context.secrets["TOKEN"]
"""


async def test_a_task_takes_no_secret_by_a_name_that_its_file_chose(tmp_path: Path) -> None:
    given = 'TOKEN = { file = "config/key.pem", tasks = ["spy.*"] }\n'
    write_project(project(tmp_path, SECRETS + given), {"untrusted/x.py": NAMED}, CONFIG + SECRETS + given)
    async with running_node(tmp_path) as node:
        with pytest.raises(UnknownTaskError):
            await node.run("spy.free")
        problem = node.engine.catalog.problems["spy.free"].error

    assert problem.message == (
        "task spy.free names the secret TOKEN, which is given to other tasks only: see secrets.TOKEN.tasks in "
        f"{tmp_path}/config/isolane.toml; they must cover untrusted.x.free as well, its name by its file alone"
    )


async def test_what_a_task_prints_and_logs_is_masked(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await node.run("spy.prints")
        lines = await node.log(run["id"])

        assert run["status"] == "succeeded"
        assert lines.count("it is *** and ***") == 1
        assert "{'it': '***'} \"***\" b'***'" in lines
        assert "root: logged ***" in lines or "logged ***" in lines
        assert lines.count("***") == 9  # twice the key's four lines, and the password written byte by byte
        assert run["progress"] == {"fraction": 0.5, "text": "trying ***"}
    assert_nothing_is_kept(tmp_path)


async def test_a_value_is_masked_wherever_a_long_line_is_cut(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await node.run("spy.prints_long_lines")
        text = "".join(await node.log(run["id"]))

        assert text.count("***") == 41
        assert text.replace("***", "").strip("xy") == ""
    assert_nothing_is_kept(tmp_path)


async def test_an_error_is_masked_in_all_its_parts(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await node.run("spy.raises")

        assert run["error"]["type"] == "Wrong***"
        assert "ValueError: ***" in run["error"]["traceback"]
        assert run["why"].startswith("the task raised Wrong***: ('x")
    assert_nothing_is_kept(tmp_path)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("returns", 'result["deep"][1]["it"] holds the secret PASSWORD'),
        ("returns_as_key", "result[0] has a key that holds the secret PASSWORD"),
    ],
)
async def test_a_result_with_a_secret_is_refused_with_its_place(tmp_path: Path, task: str, says: str) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await node.run(f"spy.{task}")

        assert (run["status"], run["reason"], run["attempt_count"]) == ("failed", "error", 1)
        assert run["error"]["type"] == "ExposedSecretError"
        assert says in run["error"]["message"]
    assert_nothing_is_kept(tmp_path)


async def test_a_run_cannot_be_scheduled_with_a_secret_from_inside(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await node.run("spy.schedules")
        refused = run["result"]

        assert len(refused) == 5
        assert all(text.startswith("ExposedSecretError: request") for text in refused)
        assert 'request["parameters"]["list"][0] holds the secret PASSWORD' in refused[0]
        assert 'request["parameters"] has a key that holds' in refused[4]
        assert len((await node.store.list(RunFilter(app=APP, task="spy.measures"))).items) == 1
    assert_nothing_is_kept(tmp_path)


async def test_a_task_finds_no_other_secret_in_processes_files_and_its_own_memory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ENVIRONMENTAL", "only-in-the-environment")
    (tmp_path / "shown").mkdir()
    config = SECRETS + '[[mounts]]\nsource = "shown"\ntarget = "/data"\n'
    async with running_node(project(tmp_path, config)) as node:
        await node.run("spy.prints")  # whatever is warm from now on has met them
        targets = {"own": PASSWORD, "key": KEY, "other": OTHER, "environment": os.environ["ENVIRONMENTAL"]}
        shifted = {
            name: bytes((byte + 1) % 256 for byte in value.encode("latin-1")).hex() for name, value in targets.items()
        }
        run = await node.run("spy.looks_around", shifted)

        assert run["result"] == ["memory: own"], run["why"]


async def test_what_no_mask_can_know_is_not_masked(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await node.run("spy.prints_in_disguise")

        assert (await node.log(run["id"])) == [PASSWORD[::-1]]


async def test_a_changed_file_counts_from_the_next_attempt_on(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        assert (await node.run("spy.measures"))["result"]["lengths"][0] == len(PASSWORD)
        (tmp_path / "config" / "secrets.env").write_text("PASSWORD=rotated")
        assert (await node.run("spy.measures"))["result"]["lengths"][0] == len("rotated")


async def test_without_a_word_in_the_config_values_come_from_the_environment(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PASSWORD", "from the environment")
    monkeypatch.setenv("SHOP_KEY", "another name")
    async with running_node(project(tmp_path, '[secrets]\nKEY = { env = "SHOP_KEY" }\n')) as node:
        assert (await node.run("spy.measures"))["result"]["lengths"] == [20, 12]


async def test_a_task_without_its_secret_is_a_problem_until_it_is_there(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "config" / "secrets.env").write_text("PASSWORT=almost\n")
    async with running_node(folder) as node:
        problem = node.engine.catalog.problems["spy.measures"].error
        assert problem.type == "SecretError"
        assert (
            "task spy.measures names the secret PASSWORD, which is not there: add a line PASSWORD=" in problem.message
        )
        assert "did you mean PASSWORT?" in problem.message
        with pytest.raises(UnknownTaskError, match="SecretError"):
            await node.schedule("spy.measures")
        assert (await node.run("spy.has_none"))["reason"] == "error"  # the others go on

        (folder / "config" / "secrets.env").write_text(FILE)
        assert (await node.run("spy.measures"))["status"] == "succeeded"


async def test_a_run_that_waits_for_a_secret_says_so(tmp_path: Path) -> None:
    folder = project(tmp_path)
    async with running_node(folder) as node:
        run = await node.schedule("spy.measures", after="300ms")
    (folder / "config" / "secrets.env").write_text("NOTHING=here\n")
    async with running_node(folder) as node:
        why = await eventually_async(lambda: why_in_line(node, run["id"]))
        assert (
            "no node has the task spy.measures (task spy.measures names the secret PASSWORD, which is not there" in why
        )


async def test_an_attempt_whose_secret_went_away_does_not_start_and_is_tried_again(tmp_path: Path) -> None:
    folder = project(tmp_path)
    async with running_node(folder) as node:
        (folder / "config" / "secrets.env").chmod(0o644)
        run = await node.schedule("spy.prints")
        first = await eventually_async(lambda: first_attempt(node, run["id"]))
        assert first["reason"] == "lost"
        assert "through no fault of the task" in first["why"]
        assert "chmod 600" in first["why"]
        assert await node.log(run["id"]) == []
        (folder / "config" / "secrets.env").chmod(0o600)
        assert (await node.ended(run["id"]))["status"] == "succeeded"


async def test_a_node_does_not_start_with_a_file_that_others_can_read(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "config" / "key.pem").chmod(0o640)

    with pytest.raises(ConfigError, match=r"config/isolane\.toml: secrets: others may have a part in .*: chmod 600"):
        async with running_node(folder):
            pass


async def first_attempt(node: Node, run: str) -> dict[str, object] | None:
    attempts = (await node.operations.show(APP, run))["attempts"]
    return attempts[0] if attempts and attempts[0]["reason"] else None


async def why_in_line(node: Node, run: str) -> str | None:
    why = (await node.operations.show(APP, run))["why"]
    return None if "is due at" in why else str(why)
