"""Telling other nodes what was committed here, and hearing what was committed there.

What happens is told to this node's own listeners at once, and to others by NOTIFY: not in the commit of each change,
for a commit with a NOTIFY waits for all others that have one, but collected for some milliseconds and sent together.
Each wakes every node, so one that only tells of ends and logs does not follow another closely. One connection listens.
It also carries the sweep every few seconds: it asks the database's clock, brings lanes in line with what is announced,
and finds attempts of this node that should end. A connection that does not answer the sweep is cut and made again, for
ever, and the first thing told then is that there may be something to claim. What else was not heard, a node finds when
it next looks by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from runner.errors import StoreError
from runner.store.clock import DatabaseClock, boot_us
from runner.store.postgres.connections import Timing, connect
from runner.store.postgres.database import SQL, Database
from runner.store.postgres.faults import is_passing
from runner.store.records import Notice, RunKey

_CHANNEL = "isolane"
_GATHER_S = 0.01
#: After each NOTIFY, unless somebody may wait for work or for a cancellation.
_REST_S = 0.05
_SWEEP_S = 6.0
_ANSWER_S = 5.0
_LANES_AT_ONCE = 200
_KEYS_AT_ONCE = 60  # a payload has at most 8,000 bytes


class Notices:
    """The listeners of this node, and its ear on the database."""

    def __init__(self, listen_url: str, clock: DatabaseClock, timing: Timing) -> None:
        self._url = listen_url
        self._timing = timing
        self._clock = clock
        self._self = secrets.token_hex(6)
        self._listeners: list[Callable[[Notice], None]] = []
        self._unsent: list[Notice] = []
        self._has_unsent = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._hears = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        #: The node whose attempts the sweep looks at.
        self.node = ""

    def listen(self, callback: Callable[[Notice], None]) -> Callable[[], None]:
        """Tell this callback everything from now on; returns what ends it."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def tell(self, notice: Notice) -> None:
        """Tell what was committed here, here and elsewhere."""
        self._tell_here(notice)
        self._unsent.append(notice)
        self._has_unsent.set()
        if notice.ready or notice.cancelling:
            self._is_urgent.set()

    async def start(self, database: Database) -> None:
        """Begin to send and to hear; returns when it hears, or when that takes long: then it goes on trying."""
        self._tasks = [
            asyncio.create_task(work, name=f"store: {name}")
            for name, work in (("send", self._send(database)), ("hear", self._hear()))
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timing.connect_s):
                await self._hears.wait()

    async def close(self, database: Database) -> None:
        """Send what is left, then hear nothing more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks and self._unsent:
            with contextlib.suppress(StoreError):
                await database.single_last("notify", self._collected(), patience_s=1)

    def _tell_here(self, notice: Notice) -> None:
        for listener in tuple(self._listeners):
            listener(notice)

    # --- sending ------------------------------------------------------------------------------------------------

    async def _send(self, database: Database) -> None:
        while True:
            await self._has_unsent.wait()
            await asyncio.sleep(_GATHER_S)
            # What cannot be sent is found by the sweeps of those who would have heard it.
            with _going_on():
                await database.single("notify", self._collected())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REST_S):
                    await self._is_urgent.wait()

    def _collected(self) -> list[str]:
        notices, self._unsent = self._unsent, []
        self._has_unsent.clear()
        self._is_urgent.clear()
        return list(_payloads(self._self, notices))

    # --- hearing ------------------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        while True:
            since = time.monotonic()
            with _going_on():
                await self._hear_until_lost()
            lasted_s = time.monotonic() - since
            await asyncio.sleep(random.uniform(0.1, 0.2) if lasted_s > _SWEEP_S else random.uniform(0.2, 2.0))

    async def _hear_until_lost(self) -> None:
        connection = await connect(self._url, is_pooled=False, within_s=self._timing.connect_s)
        try:
            async with asyncio.timeout(self._timing.connect_s):
                await connection.add_listener(_CHANNEL, self._on_payload)
            self._hears.set()
            was_deaf = True
            while True:
                await self._sweep(connection, was_deaf=was_deaf)
                was_deaf = False
                await _sleep_unless_closed(connection, _SWEEP_S * random.uniform(0.8, 1.2))
        finally:
            connection.terminate()

    async def _sweep(self, connection: Any, *, was_deaf: bool) -> None:
        asked_at = boot_us()
        async with asyncio.timeout(_ANSWER_S):
            row = await connection.fetchrow(SQL["sweep"], self.node, _LANES_AT_ONCE)
            self._clock.saw(row["now"], asked_at=asked_at)
            cancelling = await connection.fetch(SQL["cancelling_of_node"], self.node) if row["cancelling"] else ()
        self._tell_here(Notice(ready=was_deaf or row["opened"], cancelling=_keys(cancelling)))

    def _on_payload(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        heard = json.loads(payload)
        if heard["from"] != self._self:
            self._tell_here(
                Notice(
                    ready=heard.get("ready", False),
                    ended=_keys(heard.get("ended", ())),
                    cancelling=_keys(heard.get("cancelling", ())),
                    logged=tuple(heard.get("logged", ())),
                )
            )


@contextlib.contextmanager
def _going_on() -> Iterator[None]:
    """A node must never become deaf or dumb: what fails is tried again, and what nobody thought of is shown."""
    try:
        yield
    except Exception as error:
        if not is_passing(error) and not isinstance(error, StoreError):
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the store's notices failed; they go on", "exception": error}
            )


def _payloads(sender: str, notices: Iterable[Notice]) -> Iterator[str]:
    notices = list(notices)
    facts: list[tuple[str, Any]] = [
        *(("ended", run) for notice in notices for run in notice.ended),
        *(("cancelling", run) for notice in notices for run in notice.cancelling),
        *dict.fromkeys(("logged", run) for notice in notices for run in notice.logged),
    ]
    ready = any(notice.ready for notice in notices)
    for begin in range(0, max(len(facts), 1), _KEYS_AT_ONCE):
        payload: dict[str, Any] = {"from": sender}
        if ready and begin == 0:
            payload["ready"] = True
        for kind, key in facts[begin : begin + _KEYS_AT_ONCE]:
            payload.setdefault(kind, []).append(key)
        yield json.dumps(payload, separators=(",", ":"))


def _keys(runs: Iterable[Iterable[str]]) -> tuple[RunKey, ...]:
    return tuple(RunKey(*run) for run in runs)


async def _sleep_unless_closed(connection: Any, seconds: float) -> None:
    """Sleep; a connection that is lost meanwhile ends it at once."""
    closed = asyncio.get_running_loop().create_future()

    def on_end(_connection: Any) -> None:
        if not closed.done():
            closed.set_exception(ConnectionResetError("the listening connection was closed"))

    connection.add_termination_listener(on_end)
    try:
        async with asyncio.timeout(seconds):
            await closed
    except TimeoutError:
        if connection.is_closed():
            raise
    finally:
        connection.remove_termination_listener(on_end)
