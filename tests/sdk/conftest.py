"""A small server for each test, which keeps what it was sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.answering import Server, run_document


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        serving.answers = [run_document()]
        yield serving


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISOLANE_URL", raising=False)
    monkeypatch.delenv("ISOLANE_TOKEN", raising=False)
