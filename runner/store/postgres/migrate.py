"""Brings the database to the newest schema, while nodes of the version before go on.

One node at a time, under a lock of the database; each step in the one transaction that also counts it. A step keeps
what the version before relies on: so a node works on its own schema and on the next one, and refuses any later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runner.errors import StoreVersionError
from runner.store.postgres.database import Database, Transaction
from runner.store.postgres.faults import described
from runner.store.sql_files import check_version, load_steps

STEPS: Final = load_steps("postgres")
#: Of the advisory lock: "isol".
_LOCK = 0x69736F6C
_AHEAD = 1
_VERSION = "SELECT coalesce(max(version), 0) FROM schema_version"
#: How long migrating may take, and waiting for a node that does it.
_LONGEST_S = 3600.0


async def migrate(database: Database, steps: Sequence[str] = STEPS, *, migrating: bool = True) -> None:
    """Apply the steps that this database does not have yet, if `migrating`.

    Raises:
        StoreVersionError: an isolane that is newer by more than one step has changed it; or it is older than this one
            needs, and nothing may be migrated.
    """

    def check(version: int) -> None:
        check_version(described(database.url), version, needed=len(steps), ahead=_AHEAD, migrating=migrating)

    async def look(tx: Transaction) -> None:
        if not await tx.connection.fetchval("SELECT to_regclass('schema_version') IS NOT NULL"):
            raise StoreVersionError(f"{described(database.url)} holds no store yet: run `isolane store migrate`")
        check(await tx.connection.fetchval(_VERSION))

    async def apply(tx: Transaction) -> None:
        await tx.connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        await tx.connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)")
        version = await tx.connection.fetchval(_VERSION)
        check(version)
        for number, step in enumerate(steps[version:], start=version + 1):
            await tx.connection.execute(step)
            await tx.connection.execute(f"INSERT INTO schema_version (version) VALUES ({number})")  # noqa: S608 - a number

    await (database.write(apply, silence_s=_LONGEST_S) if migrating else database.read(look))
