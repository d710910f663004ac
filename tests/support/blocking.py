"""`AsyncClient` for tests that know nothing of awaiting, so that one test tries both clients."""

from __future__ import annotations

import asyncio
import inspect

from runner import AsyncClient, AsyncHandle


class Blocking:
    """`AsyncClient` for a test that knows nothing of awaiting."""

    def __init__(self, url=None, token=None, **options):
        self._runner = asyncio.Runner()
        self._client = AsyncClient(url, token, **options)

    def __getattr__(self, name):
        found = getattr(self._client, name)
        return self._made_blocking(found) if callable(found) else found

    def _made_blocking(self, function):
        def call(*args, **kwargs):
            result = function(*args, **kwargs)
            if inspect.isasyncgen(result):
                return self._runner.run(self._collect(result))
            return self._blocking_handle(self._runner.run(result))

        return call

    def _blocking_handle(self, value):
        if isinstance(value, AsyncHandle):
            return BlockingHandle(value, self._runner)
        return [self._blocking_handle(one) for one in value] if isinstance(value, list) else value

    async def _collect(self, lines):
        return [line async for line in lines]

    def close(self):
        self._runner.run(self._client.close())
        self._runner.close()


class BlockingHandle:
    def __init__(self, handle, runner):
        self._handle, self._runner, self.id, self.task = handle, runner, handle.id, handle.task

    def __getattr__(self, name):
        return lambda *args, **kwargs: self._runner.run(getattr(self._handle, name)(*args, **kwargs))
