"""A `Sandbox` whose methods block: it lives on an event loop in a thread of its own.

If a caller is interrupted (Ctrl-C), the run that it waited for is killed, and the interruption is raised. The thread
does the closing, so that it is finished even if the wait for it is interrupted too.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar

from sandbox.api.sandbox import Sandbox
from sandbox.loops import new_event_loop
from sandbox.spec import Level

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def _blocking(
    method: Callable[Concatenate[Sandbox, _Given], Coroutine[Any, Any, _Result]],
) -> Callable[Concatenate[BlockingSandbox, _Given], _Result]:
    @functools.wraps(method)
    def wait_for(self: BlockingSandbox, /, *given: _Given.args, **options: _Given.kwargs) -> _Result:
        return self._wait_for(method(self._sandbox, *given, **options))

    return wait_for


class BlockingSandbox:
    """What `with Sandbox() as sandbox` gives. Any thread may use it; runs of several threads overlap."""

    run = _blocking(Sandbox.run)
    call = _blocking(Sandbox.call)

    def __init__(self, sandbox: Sandbox) -> None:
        """Start it. Raises what `Sandbox.start` raises."""
        self._sandbox = sandbox
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = Thread(target=self._work, name="sandbox", daemon=True)
        self._thread.start()
        try:
            self._loop, self._closing = self._started.result()
        except BaseException:
            self._started.cancel()  # interrupted: the thread closes what it has started
            self._thread.join()
            raise

    @property
    def level(self) -> Level:
        """The level in use."""
        return self._sandbox.level

    @property
    def walls(self) -> str:
        """One line on what stands at this level, and why not a stronger one."""
        return self._sandbox.walls

    def close(self) -> None:
        """Kill what still runs and wait for its end. Closing twice does no harm."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            try:
                runner.run(self._live())
            except BaseException as error:
                if self._started.done():
                    raise
                self._started.set_exception(error)

    async def _live(self) -> None:
        async with self._sandbox:
            closing = asyncio.Event()
            if self._started.set_running_or_notify_cancel():
                self._started.set_result((asyncio.get_running_loop(), closing))
                await closing.wait()

    def _wait_for(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        if not self._thread.is_alive():
            coroutine.close()
            raise RuntimeError("this sandbox is closed")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
