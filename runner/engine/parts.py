"""What every service of the engine works with, joined once by `runner.engine.engine`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from runner.catalog import Catalog
from runner.config import Settings
from runner.engine.capacity import Capacity
from runner.engine.endings import Endings
from runner.engine.keeper import Keeper
from runner.engine.node import Node
from runner.engine.submission import Submission
from runner.store.contract import Store
from sandbox import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one node."""

    settings: Settings
    store: Store
    catalog: Catalog
    sandbox: Sandbox
    keeper: Keeper  # launches through it
    capacity: Capacity
    endings: Endings
    submission: Submission
    now: Callable[[], int]  # the store's clock: microseconds since 1970, UTC
    rng: random.Random
    node: Node
