"""A node among others: it is listed and drained, takes over from the dead, and goes on when it was taken for dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.app import APP
from runner.domain.status import Reason
from runner.engine.nodes.heartbeat import Heartbeat
from runner.engine.nodes.node import Identity
from runner.errors import NotFoundError
from runner.store.records import NodeState, Room, TaskKey
from sandbox import Lease
from sandbox.protocol.lease import boot_clock_ns
from support.nodes import Node, running_node
from support.postgres import create_database, drop_database, shared_server
from support.projects import CONFIG, write_project
from support.stores import node_info
from support.waiting import eventually_async

SECOND = 10**9
SHORT_LEASE = CONFIG.replace("[runner]", '[runner]\nname = "here"\nlease = "1s"')
TASKS = {"hello.py": "def run():\n    return 'hello'\n"}


@pytest.fixture(scope="module", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(write_project(tmp_path, TASKS, SHORT_LEASE)) as node:
        yield node


async def _state(node: Node) -> NodeState:
    own = node.engine.node.identity.id
    [state] = [state for state in await node.store.nodes() if state.info.id == own]
    return state


async def test_a_node_is_listed_with_what_it_is_and_what_it_runs(node: Node) -> None:
    [shown] = (await node.operations.list_nodes())["items"]

    assert (shown["name"], shown["state"], shown["running"], shown["slots"]) == ("here", "up", 0, 4)
    assert shown["memory_bytes"] == 2 << 30
    assert shown["sandbox"].startswith("full: ")
    assert "Python 3." in shown["version"]
    assert shown["last_seen_s_ago"] < 10


async def test_a_node_that_was_asked_to_drain_starts_nothing_more_and_says_so(node: Node) -> None:
    assert await node.operations.drain_node("here") == {"draining": 1, "node": "here"}

    run = await node.schedule("hello")
    shown = await node.operations.show(APP, run["id"])

    assert shown["status"] == "queued"
    assert "the node was asked to start nothing more" in shown["why"]
    assert (await node.operations.list_nodes())["items"][0]["state"] == "draining"
    with pytest.raises(NotFoundError):
        await node.operations.drain_node("nowhere")


async def test_a_node_learns_from_the_store_that_it_is_to_drain(node: Node) -> None:
    await node.store.drain_node("here")

    await eventually_async(lambda: node.engine.node.draining, within_s=10)


async def test_a_drained_nodes_own_log_says_so_and_how_it_goes_on(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    own = node.engine.node
    for ask in (node.operations.drain_node, node.store.drain_node):  # asked here, or at another node
        caplog.clear()
        await ask(own.identity.id)
        await eventually_async(lambda: "asked to start nothing more; `isolane nodes undrain here`" in caplog.text, 10)
        run = await node.schedule("hello")
        await ask(own.identity.id, draining=False)

        assert (await node.ended(run["id"], within_s=20))["result"] == "hello"
        assert "this node, here, starts attempts again" in caplog.text


async def test_two_nodes_of_one_name_have_two_names(tmp_path: Path) -> None:
    server = shared_server()
    database = create_database(server)
    config = SHORT_LEASE.replace("[runner]", f'[runner]\nstore = "{database}"')
    first, second = (write_project(tmp_path / name, TASKS, config) for name in ("first", "second"))
    async with running_node(first) as one, running_node(second):
        assert [state.info.name for state in await one.store.nodes()] == ["here", "here-2"]
        assert await one.operations.drain_node("here-2") == {"draining": 1, "node": "here-2"}
    drop_database(server, database)


async def test_a_node_keeps_its_lease_while_its_loop_is_blocked(node: Node) -> None:
    before = (await _state(node)).beat

    time.sleep(2.5)  # on purpose: longer than the lease

    assert (await _state(node)).beat >= before + 5
    assert node.engine.node.is_member


async def test_a_node_that_was_declared_dead_goes_on_under_a_fresh_id(node: Node) -> None:
    first = await _state(node)
    assert await node.store.bury(first.info.id, first.beat) is not None or await _bury(node, first.info.id)

    await eventually_async(lambda: node.engine.node.identity.id != first.info.id, within_s=10)

    assert (await node.run("hello"))["result"] == "hello"
    assert (await node.operations.ready())[0]
    states = {shown["id"]: shown["state"] for shown in (await node.operations.list_nodes())["items"]}
    assert states == {first.info.id: "dead", node.engine.node.identity.id: "up"}


async def _bury(node: Node, other: str) -> bool:
    """It may have renewed in between; try once more."""
    [beat] = [state.beat for state in await node.store.nodes() if state.info.id == other]
    return await node.store.bury(other, beat) is not None


async def test_what_a_silent_node_held_is_lost_and_runs_here(node: Node) -> None:
    node.engine.node.draining = True  # so that the other one gets the run
    await node.store.register(node_info("silent", lease_s=1.0))
    run = await node.schedule("hello", queue="q")
    room = Room(slots=1, memory_bytes=1 << 40, memory_total_bytes=1 << 40, needs={TaskKey(APP, "hello"): 1})
    [claim] = (await node.store.claim("silent", room, node.store.now())).claims
    claimed_at = time.monotonic()
    node.engine.node.draining = False

    ended = await node.ended(run["id"])

    assert claim.run.id == run["id"]
    assert time.monotonic() - claimed_at > 1.0, "its lease was not over"
    assert [attempt["reason"] for attempt in ended["attempts"]] == [Reason.LOST, Reason.SUCCESS]
    assert "its node silent died or was cut off" in ended["attempts"][0]["why"]


async def test_a_node_that_beats_is_left_alone(node: Node) -> None:
    await node.store.register(node_info("lively", lease_s=1.0))
    renewal = node.store.lease("lively", within_s=1)
    until = time.monotonic() + 4

    while time.monotonic() < until:
        assert await renewal.renew()
        await asyncio.sleep(0.2)


async def test_a_heartbeat_extends_the_lease_of_attempts_until_it_is_lost(node: Node) -> None:
    await node.store.register(node_info("another", lease_s=1.0))
    lease = Lease(boot_clock_ns() + SECOND)
    first_end = lease.until_ns
    heartbeat = Heartbeat(node.store, Identity("another", lease), 1.0)
    heartbeat.start()
    try:
        await eventually_async(lambda: lease.until_ns > first_end + SECOND)
        assert lease.until_ns <= boot_clock_ns() + SECOND
        assert not heartbeat.lost.done()

        await eventually_async(lambda: _bury(node, "another"))

        assert "declared dead" in await asyncio.wrap_future(heartbeat.lost)
        end = lease.until_ns
        await eventually_async(lambda: lease.is_over)
        assert lease.until_ns == end
    finally:
        heartbeat.stop()
        heartbeat.stop()


async def test_a_dead_node_is_forgotten_in_the_end(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await node.store.register(node_info("gone", lease_s=1.0))
    assert await _bury(node, "gone")

    monkeypatch.setattr("runner.engine.nodes.takeover._REMEMBERED_US", 0)

    await eventually_async(lambda: _is_alone(node))


async def _is_alone(node: Node) -> bool:
    return len(await node.store.nodes()) == 1
