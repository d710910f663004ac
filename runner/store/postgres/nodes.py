"""Nodes and their leases.

A renewal is one small statement on a connection that does nothing else. A burial locks the node's row against the
claims of that node: those that came before are among what it returns, those that come after find the node dead.
"""

from __future__ import annotations

import asyncio
from dataclasses import astuple
from typing import Any

import asyncpg

from runner.domain.run import Claim
from runner.store.contract import Lease
from runner.store.postgres.connections import connect
from runner.store.postgres.contents import refuse_unfinished
from runner.store.postgres.database import SQL, Transaction
from runner.store.postgres.faults import is_passing, leaves_connection, translated
from runner.store.records import NodeInfo
from runner.store.refusals import no_node, node_is_busy
from runner.store.rows import orphan_of


async def register(tx: Transaction, node: NodeInfo) -> None:
    """Make a node known."""
    await refuse_unfinished(tx)
    await tx.rows("register_node", *astuple(node))


async def bury(tx: Transaction, node: str, beat: int) -> list[Claim] | None:
    """Declare a node dead if this is still its beat; its claims, if it is dead now."""
    row = await tx.row("lock_node", node)
    if row is None or row["beat"] != beat:
        return None
    if not row["buried"]:
        await tx.rows("bury_node", node)
        await tx.rows("withdraw_tasks", node, [], [])
    return list(map(orphan_of, await tx.rows("open_attempts_of_node", node)))


async def leave(tx: Transaction, node: str) -> None:
    """Forget a node without live attempts."""
    if await tx.row("lock_node", node) is None:
        return
    running = len(await tx.rows("open_attempts_of_node", node))
    if running:
        raise node_is_busy(node, running)
    await tx.rows("withdraw_tasks", node, [], [])
    await tx.rows("delete_node", node)


async def drain(tx: Transaction, name: str, *, draining: bool) -> int:
    """Mark the nodes of this name or id."""
    named = len(await tx.rows("drain_nodes", name, draining))
    if not named:
        raise no_node(name)
    return named


class ConnectionLease(Lease):
    """A lease that is a row, renewed through a connection of its own."""

    def __init__(self, url: str, node: str, *, within_s: float, is_pooled: bool) -> None:
        self._url = url
        self._node = node
        self._within_s = within_s
        self._is_pooled = is_pooled
        self._connection: Any = None

    # ruff: noqa: D102 - the contract documents its methods
    async def renew(self) -> bool:
        try:
            async with asyncio.timeout(self._within_s):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(self._url, is_pooled=self._is_pooled, within_s=self._within_s)
                return await self._connection.fetchval(SQL["renew_node"], self._node) is not None
        except Exception as error:
            if is_passing(error) or not leaves_connection(error):
                self._cut()
            raise translated(error, self._url) from error
        except asyncio.CancelledError:
            self._cut()
            raise

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=1)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    def _cut(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
