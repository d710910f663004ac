"""Where fuzzed nodes keep their store: in memory where they can, since every case ends with several commits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import create_database, drop_database, shared_server

_MEMORY = Path("/dev/shm")


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder that no disk slows down, where the machine has one."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, postgres: str) -> Iterator[str]:
    """What a config says of its store, for each kind: what one can keep, the other may not."""
    if request.param == "sqlite":
        yield "sqlite:.isolane/isolane.db"
    else:
        database = create_database(postgres)
        yield database
        drop_database(postgres, database)
