"""What each attempt of a node works with.

It is one value, since it is handed down whole: the dispatcher gives it to each execution, and that to what answers the
calls of its task. All else in the engine takes what it uses.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.catalog import Catalog
from runner.config import Settings
from runner.engine.api.enqueueing import Enqueueing
from runner.engine.api.presenter import Presenter
from runner.engine.api.submission import Submission
from runner.engine.api.waiters import Waiters
from runner.engine.attempts.recorder import Recorder
from runner.engine.nodes.capacity import Capacity
from runner.engine.nodes.node import Node
from runner.engine.nodes.relauncher import Relauncher
from runner.store.contract import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one node that its attempts work with."""

    settings: Settings
    store: Store
    catalog: Catalog
    node: Node
    capacity: Capacity
    relauncher: Relauncher
    recorder: Recorder
    submission: Submission
    enqueueing: Enqueueing
    presenter: Presenter
    waiters: Waiters
