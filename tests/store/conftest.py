"""One suite for every implementation of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from support.stores import BACKENDS, Desk, desk_at


@pytest.fixture(params=sorted(BACKENDS))
def backend(request, tmp_path):
    return BACKENDS[request.param](tmp_path)


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
