"""The store: `contract` says what it promises, `open_store` finds the implementation that a URL names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.domain.options.queue_rule import QueueRule
from runner.errors import ConfigError
from runner.store.contract import Store
from runner.store.postgres.store import PostgresStore
from runner.store.records import Policy, StoreLimits
from runner.store.sqlite.store import SqliteStore


def open_store(
    url: str,
    *,
    project: Path,
    limits: StoreLimits,
    queue_rule: Callable[[str, str], QueueRule],
    listen_url: str | None = None,
) -> Store:
    """The store that `url` names, not open yet.

    Args:
        url: "sqlite:path", the path relative to the project, or "postgresql://…".
        project: the project's folder.
        limits: how much may wait.
        queue_rule: from an app and the name of a queue to its rule; called in other threads, so it must be pure.
        listen_url: the direct way to the database, where `url` leads through a pooler of transactions.

    Raises:
        ConfigError: the URL names no store that there is.
    """
    policy = Policy(queue_rule, limits)
    if url.startswith("postgresql://"):
        return PostgresStore(url, policy, listen_url=listen_url)
    scheme, _, path = url.partition(":")
    if scheme != "sqlite" or not path or path.startswith("//"):
        raise ConfigError(
            f'[runner] store is {url!r}: it must be "sqlite:" and a path, such as "sqlite:.isolane/isolane.db", '
            'or "postgresql://…"'
        )
    return SqliteStore(project / path, policy)
