"""One suite for every implementation of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from support.postgres import shared_server
from support.stores import BACKENDS, Desk, desk_at


@pytest.fixture(scope="session", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture(params=sorted(BACKENDS))
def backend(request, tmp_path) -> Iterator[Any]:
    made = BACKENDS[request.param](tmp_path)
    yield made
    made.remove()


@pytest.fixture
async def open_desk(backend) -> AsyncIterator[Callable[..., Awaitable[Desk]]]:
    """Opens a store with the rules and limits given and sits down at it; closes it after the test."""
    stores = []

    async def opened(tasks=None, **options) -> Desk:
        store = backend.store(**options)
        await store.open()
        stores.append(store)
        return await desk_at(store, tasks)

    yield opened
    for store in stores:
        await store.close()


@pytest.fixture
async def desk(open_desk) -> Desk:
    return await open_desk()
