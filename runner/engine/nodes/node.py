"""Who this node is at the moment.

A node that was cut off for longer than its lease, or that others declared dead, does not come back as itself: what it
had claimed is somebody else's. It takes a fresh identity and goes on. Each attempt is launched under the lease of the
identity that claimed it, so one that was claimed before the cut can never begin after it.
"""

from __future__ import annotations

import logging
import os
import random
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sandbox import Lease

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """One life of a node."""

    id: str  # never used again
    #: Ends what was claimed under this id; `None` on an embedded store, where attempts end with their runner.
    lease: Lease | None


class Node:
    """This node, through all its lives. Lives on the event loop.

    Attributes:
        name: as people call it.
        memory: a file that outlives the process, where the present identity is written.
        identity: the present one, or the last one while it is not a member.
        is_member: whether it may claim, as far as its lease goes.
        draining: whether somebody asked it to start nothing more.
        stopping: whether it is about to end.
    """

    def __init__(self, name: str, memory: Path) -> None:
        self.name = name or socket.gethostname()
        self.memory = memory
        self.identity = Identity("", None)
        self.is_member = False
        self.draining = self.stopping = False

    @property
    def may_claim(self) -> bool:
        """Whether it starts new attempts."""
        lease = self.identity.lease
        return self.is_member and not (self.draining or self.stopping) and not (lease is not None and lease.is_over)

    def ask_to_drain(self, *, draining: bool) -> None:
        """Somebody asked it to start nothing more, or to go on."""
        if draining != self.draining:
            self.draining = draining
            _logger.warning(
                "this node, %s, was asked to start nothing more; `isolane nodes undrain %s` takes that back"
                if draining
                else "this node, %s, starts attempts again; `isolane nodes drain %s` would stop that",
                self.name,
                self.name,
            )

    def take_name(self, taken: Collection[str]) -> None:
        """Choose another name than these: its own, with a number where others have it too."""
        wanted, number = self.name, 1
        while self.name in taken:
            number += 1
            self.name = f"{wanted}-{number}"

    def remember(self, identity: str) -> None:
        """Write down who it is about to be."""
        self.memory.write_text(identity + "\n")

    def last_identity(self) -> str | None:
        """Who it was when it last wrote that down, perhaps in an earlier process."""
        try:
            return self.memory.read_text().strip()
        except OSError:
            return None

    def fresh_id(self) -> str:
        """An id that no node has had."""
        return f"{self.name}-{os.getpid()}-{random.SystemRandom().randrange(16**6):06x}"
