"""One attempt on its way into confinement, and what a step of the way is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sandbox import identity, mounts, rootfs
from sandbox.errors import SetupError
from sandbox.spec import Level, Spec

#: Where the task finds its channel.
CHANNEL_DESCRIPTOR = 3


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt on its way into confinement: what was asked for, and what the steps hand on to each other.

    Attributes:
        spec: what is to be run.
        level: of the confinement.
        identity: who it is to be on the host.
        layout: what of the host every sandbox shows.
        owner_map: user namespace that translates owners of mounts, `None` where nothing is to translate.
        control: socket between the supervisor and the runner.
        channel: socket between the task and the runner.
        stdout: pipe to the runner.
        stderr: pipe to the runner.
        life: pipe whose other end only the launcher holds.
        lock: the lock file; held until the tree is dead.
        lease: memory that says until when it may run, `None` where nothing limits that.
        cgroups: files to write "0" to, in order to join.
        counted_memory: whether one of `cgroups` limits memory.
        scratch: folder of the host for its temporary files, below full; empty at full.
        proc: a /proc that can be written to, once there is one.
        trees: mounts that were opened and are not yet in their places.
    """

    spec: Spec
    level: Level
    identity: identity.Identity
    layout: rootfs.Layout
    owner_map: int | None
    control: int
    channel: int
    stdout: int
    stderr: int
    life: int
    lock: int
    lease: int | None
    cgroups: tuple[int, ...]
    scratch: str
    proc: int = -1
    trees: list[mounts.Tree] = field(default_factory=list)

    def descriptors(self) -> list[int]:
        """All that it needs while it is being set up."""
        held = [self.control, self.channel, self.stdout, self.stderr, self.life, self.lock, *self.cgroups]
        return held + [each for each in (self.owner_map, self.lease) if each is not None]


class Step(NamedTuple):
    """One step: its name in errors, what it does, where it applies, and the wall that stands once it is done."""

    name: str
    do: Callable[[Attempt], None]
    applies: Callable[[Attempt], bool]
    wall: str = ""


def always(_: Attempt) -> bool:
    """Every attempt."""
    return True


def full(attempt: Attempt) -> bool:
    """At level full."""
    return attempt.level is Level.FULL


def full_as_root(attempt: Attempt) -> bool:
    """At level full, launched by root."""
    return full(attempt) and not attempt.identity.own


def full_as_user(attempt: Attempt) -> bool:
    """At level full, launched by an ordinary user."""
    return full(attempt) and attempt.identity.own


def granted_hosts(attempt: Attempt) -> bool:
    """At level full, with single hosts granted."""
    return full(attempt) and bool(attempt.spec.endpoints())


def below_full(attempt: Attempt) -> bool:
    """At the levels without namespaces."""
    return not full(attempt)


def above_basic(attempt: Attempt) -> bool:
    """At the levels that stand against attacks."""
    return attempt.level is not Level.BASIC


def carry_out(steps: Iterable[Step], attempt: Attempt) -> None:
    """Do the steps that apply, in order. Raises `SetupError` for the first that fails."""
    for step in steps:
        if step.applies(attempt):
            try:
                step.do(attempt)
            except SetupError:
                raise
            except Exception as error:
                raise SetupError.caused_by(step.name, error) from error
