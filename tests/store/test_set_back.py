"""A clock that was ahead is right again: what waits for a while does not wait for the wrong clock's time to come."""

from __future__ import annotations

from runner.domain.options.queue_rule import QueueRule
from runner.domain.status import Status
from support.stores import SECOND

DAY_S = 86_400


async def test_a_retry_waits_its_time_from_now_on(desk) -> None:
    await desk.enqueue()
    desk.pass_s(DAY_S)
    await desk.retry(await desk.claim_one(), due_in_s=10)
    desk.pass_s(-DAY_S)

    await desk.store.set_back(desk.now)

    claims = await desk.claims()
    assert (claims.claims, claims.wake_at) == ((), desk.now + 10 * SECOND)
    desk.pass_s(10)
    assert (await desk.claim_one()).attempt == 2


async def test_a_retry_that_waits_anew_waits_so_once(desk) -> None:
    await desk.enqueue()
    desk.pass_s(DAY_S)
    await desk.retry(await desk.claim_one(), due_in_s=10)
    desk.pass_s(-DAY_S)
    await desk.store.set_back(desk.now)
    due_at = desk.now + 10 * SECOND
    desk.pass_s(2)

    await desk.store.set_back(desk.now)

    assert (await desk.claims()).wake_at == due_at


async def test_a_run_that_is_to_wait_for_a_while_waits_so_long_from_now_on(desk) -> None:
    desk.pass_s(DAY_S)
    run = await desk.enqueue(due_at=desk.now + 30 * SECOND, delay_us=30 * SECOND, expires_at=desk.now + 50 * SECOND)
    desk.pass_s(-DAY_S)
    await desk.store.set_back(desk.now)
    due_at = desk.now + 30 * SECOND
    desk.pass_s(5)

    await desk.store.set_back(desk.now)  # a wait that is right already does not begin again

    claims = await desk.claims()
    assert (claims.claims, claims.wake_at) == ((), due_at)
    waiting = (await desk.store.get(run.app, run.id)).run
    assert (waiting.due_at, waiting.expires_at) == (due_at, due_at + 20 * SECOND)
    desk.pass_s(25)
    assert (await desk.claim_one()).run.id == run.id


async def test_a_run_that_is_to_start_at_once_lives_no_longer_than_was_asked(desk) -> None:
    desk.pass_s(DAY_S)
    run = await desk.enqueue(delay_us=0, expires_at=desk.now + 10 * SECOND)
    desk.pass_s(-DAY_S)

    await desk.store.set_back(desk.now)

    desk.pass_s(11)
    assert (await desk.claims()).claims == ()
    assert (await desk.store.get(run.app, run.id)).run.status is Status.EXPIRED


async def test_an_instant_that_was_named_stays(desk) -> None:
    desk.pass_s(DAY_S)
    due_at = desk.now + 30 * SECOND
    await desk.enqueue(due_at=due_at)
    desk.pass_s(-DAY_S)

    await desk.store.set_back(desk.now)

    assert (await desk.claims()).wake_at == due_at


async def test_a_rate_keeps_its_queue_shut_for_its_own_time_only(open_desk) -> None:
    desk = await open_desk(rules={"slow": QueueRule(rate="6/m")})
    await desk.enqueue(queue="slow")
    await desk.enqueue(queue="slow")
    desk.pass_s(DAY_S)
    await desk.end(await desk.claim_one())
    desk.pass_s(-DAY_S)

    await desk.store.set_back(desk.now)

    claims = await desk.claims()
    assert (claims.claims, claims.wake_at) == ((), desk.now + 10 * SECOND)
    desk.pass_s(10)
    await desk.claim_one()


async def test_what_was_set_by_a_right_clock_stays(open_desk) -> None:
    desk = await open_desk(rules={"slow": QueueRule(rate="6/m")})
    await desk.enqueue(queue="slow")
    await desk.enqueue()
    for claim in await desk.claim(2):
        await desk.retry(claim, due_in_s=60)
    await desk.enqueue(due_at=desk.now + 50 * SECOND, delay_us=50 * SECOND)
    desk.pass_s(5)

    await desk.store.set_back(desk.now)

    assert (await desk.claims()).wake_at == desk.now + 5 * SECOND
    desk.pass_s(5)
    assert (await desk.claims()).wake_at == desk.now + 40 * SECOND
    desk.pass_s(40)
    claims = await desk.claims()
    assert (len(claims.claims), claims.wake_at) == (1, desk.now + 10 * SECOND)
