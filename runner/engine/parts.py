"""What every service of the engine works with, joined once by `runner.engine.engine`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from runner.catalog import Catalog
from runner.config import Settings
from runner.engine.api.submission import Submission
from runner.engine.api.waiters import Waiters
from runner.engine.nodes.capacity import Capacity
from runner.engine.nodes.node import Node
from runner.engine.nodes.relauncher import Relauncher
from runner.store.contract import Store
from sandbox import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one node."""

    settings: Settings
    store: Store
    catalog: Catalog
    sandbox: Sandbox
    relauncher: Relauncher  # launches through it
    capacity: Capacity
    waiters: Waiters
    submission: Submission
    now: Callable[[], int]  # the store's clock: microseconds since 1970, UTC
    rng: random.Random
    node: Node
