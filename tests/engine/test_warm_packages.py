"""A package that is upgraded beside a warm task is the new one in its next runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.app import APP
from support.nodes import running_node
from support.projects import write_project
from support.waiting import eventually_async
from support.warm import need_zygotes


async def test_an_upgraded_package_is_imported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_zygotes(tmp_path)
    packages = tmp_path / "site-packages"
    write_version(packages, 1)
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    project = write_project(tmp_path / "project", {"a.py": "import shop\ndef run():\n    return shop.version\n"})
    async with running_node(project, periodic=True) as node:

        async def is_warm() -> bool:
            run = await node.run("a")
            assert run["result"] == 1, run
            attempts = (await node.operations.show(APP, run["id"]))["attempts"]
            return attempts[-1]["sandbox"].endswith("; warm")

        await eventually_async(is_warm)
        write_version(packages, 2)

        async def is_new() -> bool:
            return (await node.run("a"))["result"] == 2

        await eventually_async(is_new)


def write_version(packages: Path, number: int) -> None:
    """As pip does: a new file in place of the old one."""
    (packages / "shop").mkdir(parents=True, exist_ok=True)
    (packages / "shop" / "draft").write_text(f"version = {number}\n")
    (packages / "shop" / "draft").rename(packages / "shop" / "__init__.py")
