"""A project of its own for each test, looked at through a real sandbox."""

from __future__ import annotations

import textwrap

import pytest

from runner.catalog import Catalog
from runner.config import read_settings
from runner.engine.nodes.relauncher import Relauncher
from sandbox import Sandbox


@pytest.fixture
def project(tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / ".isolane").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def write(project):
    """Write files of the tasks folder; `None` deletes one."""

    def write_files(files):
        for name, source in files.items():
            path = project / "tasks" / name
            if source is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}")
            draft.write_text(textwrap.dedent(source))
            draft.rename(path)

    return write_files


@pytest.fixture
async def sandbox(project):
    sandbox = Sandbox(lock_file=project / ".isolane" / "attempts.lock", packages=("runner", "sandbox"))
    await sandbox.start()
    yield sandbox
    await sandbox.close()


@pytest.fixture
def new_catalog(project, sandbox):
    """A catalog as a runner that has just started makes it."""
    relauncher = Relauncher(sandbox)

    def make(config=None, import_timeout_s=20.0):
        settings = read_settings(config or {}, file=project / "config" / "isolane.toml", project=project)
        return Catalog(settings, relauncher, import_timeout_s=import_timeout_s)

    return make
