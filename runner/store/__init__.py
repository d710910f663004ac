"""The store: `contract` says what it promises, `open_store` finds the implementation that a URL names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.errors import ConfigError
from runner.store.contract import QueueRule, Store, StoreLimits
from runner.store.sqlite.policy import Policy
from runner.store.sqlite.store import SqliteStore


def open_store(url: str, *, project: Path, limits: StoreLimits, queue_rule: Callable[[str, str], QueueRule]) -> Store:
    """The store that `url` names, not open yet.

    Args:
        url: "sqlite:path", the path relative to the project.
        project: the project's folder.
        limits: how much may wait.
        queue_rule: from an app and the name of a queue to its rule; called in other threads, so it must be pure.

    Raises:
        ConfigError: the URL names no store that there is.
    """
    scheme, _, path = url.partition(":")
    if scheme != "sqlite" or not path or path.startswith("//"):
        raise ConfigError(
            f'[runner] store is {url!r}: it must be "sqlite:" and a path, such as "sqlite:.isolane/isolane.db"'
        )
    return SqliteStore(project / path, Policy(queue_rule, limits))
