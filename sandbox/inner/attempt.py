"""One attempt on its way into confinement, and what a step of the way is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sandbox.errors import SetupError
from sandbox.kernel import identity, mounts, rootfs
from sandbox.spec import Level, Spec

#: Where the task finds its channel.
CHANNEL_DESCRIPTOR = 3


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt on its way into confinement: what was asked for, and what the steps hand on to each other.

    Attributes:
        spec: what is to be run.
        is_zygote: whether this is a zygote, from which attempts are forked.
        level: of the confinement.
        identity: its user on the host.
        layout: what of the host every sandbox shows.
        owner_map: user namespace that translates owners of mounts, `None` if no mount needs it.
        control: socket between the supervisor and the runner.
        channel: socket between the task and the runner; for a zygote, between it and its zygote supervisor.
        stdout: pipe to the runner; for a zygote, /dev/null.
        stderr: as `stdout`.
        life: pipe whose other end only the launcher holds.
        lock: the lock file; held until the tree is dead.
        lease: shared memory that says until when it may run, `None` if it may run on.
        cgroups: files to write "0" to, in order to join.
        most_files: the most descriptors that any attempt may have open.
        scratch: folder of the host for its temporary files, below full; empty at full.
        proc: descriptor of a /proc that can be written to, once it is mounted.
        trees: mounts that were opened and are not attached yet.
        file_rules: the Landlock ruleset that a warm attempt will be held to in its init.
    """

    spec: Spec
    is_zygote: bool
    level: Level
    identity: identity.HostUser
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
    most_files: int
    scratch: str
    proc: int = -1
    trees: list[mounts.MountTree] = field(default_factory=list)
    file_rules: int = -1

    @property
    def shown_in_scratch(self) -> list[str]:
        """Targets of the mounts inside the folders for scratch space, without those inside another such mount."""
        found: list[str] = []
        for target in sorted(tree.target for tree in self.trees if _is_below(tree.target, rootfs.SCRATCH)):
            if not _is_below(target, found):
                found.append(target)
        return found

    def descriptors(self) -> list[int]:
        """All descriptors that it needs while it is being set up."""
        held = {self.control, self.channel, self.stdout, self.stderr, self.life, self.lock, *self.cgroups}
        return [*held, *(each for each in (self.owner_map, self.lease) if each is not None)]


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


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


def zygote(attempt: Attempt) -> bool:
    """A zygote."""
    return attempt.is_zygote


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
