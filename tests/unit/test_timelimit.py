from __future__ import annotations

import asyncio

from runner.engine.attempts.timelimit import TimeLimit


async def test_it_expires_once_its_time_has_passed() -> None:
    expired = asyncio.Event()
    limit = TimeLimit(0.001, expired.set)
    limit.run()

    await asyncio.wait_for(expired.wait(), 5)


async def test_paused_time_does_not_count() -> None:
    expired = asyncio.Event()
    limit = TimeLimit(0.001, expired.set)
    limit.run()
    limit.pause()
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, later.set)
    await later.wait()
    assert not expired.is_set()

    limit.run()
    await asyncio.wait_for(expired.wait(), 5)


async def test_no_limit_sets_no_timer() -> None:
    limit = TimeLimit(float("inf"), lambda: None)
    limit.run()

    assert limit._timer is None
