"""Brings the database to the newest schema, while nodes of the version before go on.

One node at a time, under a lock of the database; each numbered file in the one transaction that also counts it. A
migration keeps what the version before relies on: so a node works on its own schema and on the next one, and refuses
any later.
"""

from __future__ import annotations

from importlib.resources import files

from runner.errors import StoreVersionError
from runner.store.postgres.database import Database, Transaction
from runner.store.postgres.faults import described

#: Of the advisory lock: "isol".
_LOCK = 0x69736F6C
_AHEAD = 1
#: How long migrating may take, and waiting for a node that does it.
_LONGEST_S = 3600.0


async def migrate(database: Database, *, migrating: bool = True) -> None:
    """Apply the files of `runner/store/sql/postgres/migrations` that this database does not have yet, if `migrating`.

    Raises:
        StoreVersionError: an isolane that is newer by more than one migration has changed it; or it is older than this
            one needs, and nothing may be migrated.
    """
    folder = files("runner.store").joinpath("sql", "postgres", "migrations")
    scripts = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)

    async def look(tx: Transaction) -> None:
        exists = await tx.connection.fetchval("SELECT to_regclass('schema_version') IS NOT NULL")
        version = await tx.connection.fetchval("SELECT max(version) FROM schema_version") if exists else None
        if version is None:
            raise StoreVersionError(f"{described(database.url)} holds no store yet: run `isolane store migrate`")
        if version < len(scripts):
            raise StoreVersionError(
                f"{described(database.url)} was written by an older isolane (schema {version}, this one needs "
                f"{len(scripts)}): run `isolane store migrate`"
            )
        refuse_newer(version)

    def refuse_newer(version: int) -> None:
        if version > len(scripts) + _AHEAD:
            raise StoreVersionError(
                f"{described(database.url)} was changed by a newer isolane (schema {version}, this one knows "
                f"{len(scripts)} and works with {len(scripts) + _AHEAD}): upgrade isolane on this node"
            )

    async def apply(tx: Transaction) -> None:
        await tx.connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        await tx.connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)")
        version = await tx.connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_version")
        refuse_newer(version)
        for number, script in enumerate(scripts[version:], start=version + 1):
            await tx.connection.execute(script.read_text(encoding="utf-8"))
            await tx.connection.execute(f"INSERT INTO schema_version (version) VALUES ({number})")  # noqa: S608 - a number

    await (database.write(apply, silence_s=_LONGEST_S) if migrating else database.read(look))
