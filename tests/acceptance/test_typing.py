"""What a type checker sees of isolane where it is installed as its wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
from dataclasses import dataclass

from runner import AsyncClient, Client, Context, Handle, Retry, scheduleTask, task
from sandbox import Sandbox

@dataclass
class Invoice:
    customer: int

@task(queue="billing", timeout="30s", retry=Retry(attempts=5))
def invoice(parameters: Invoice, context: Context) -> dict[str, int]:
    reveal_type(context.attempt)
    return {"customer": parameters.customer}

def schedule(client: Client) -> Handle:
    reveal_type(scheduleTask(invoice, {"customer": 1}))
    reveal_type(client.getRun("r").id)
    return client.scheduleTask("billing.invoice", {"customer": 1}, after="3d")

async def wait(client: AsyncClient) -> None:
    handle = await client.scheduleTask("billing.invoice")
    reveal_type(handle)
    reveal_type(Sandbox)
    reveal_type(invoice)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    [wheel] = folder.glob("*.whl")
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"))
    [packages] = (folder / "venv/lib").glob("python3.*/site-packages")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(packages)
    return folder / "venv/bin/python"


def _run(*arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def seen(python: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of the program."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.py").write_text(PROGRAM)
    return _run(
        *(sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "--config-file", ""),
        *("--cache-dir", str(folder / "cache"), "program.py"),
        cwd=folder,
    )


@pytest.mark.parametrize(
    "revealed",
    ["int", "runner.sdk.handle.Handle", "str", "runner.sdk.handle.AsyncHandle"],
)
def test_an_installed_wheel_tells_a_type_checker_its_types(seen: str, revealed: str) -> None:
    assert f'Revealed type is "{revealed}"' in seen.replace("builtins.", "")


def test_nothing_of_it_is_seen_as_any(seen: str) -> None:
    assert "Any" not in seen.replace("**options", "")
    assert "Success" in seen
