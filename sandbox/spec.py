"""What to confine, and within which walls and limits. Plain values that cross the wire to the launcher as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How much of the confinement stands. Ordered: each is weaker than the one before."""

    FULL = "full"  # namespaces, a private root, an unprivileged uid
    RESTRICTED = "restricted"  # no namespaces to be had
    BASIC = "basic"  # rlimits and a process group


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the host that is seen inside.

    Attributes:
        source: absolute path on the host.
        target: absolute path inside.
        writable: whether it can be written; what is written belongs to whom the runner runs as.
        owned: whether the owner of `source` is the task's own uid inside (so that private files can be read).
    """

    source: str
    target: str
    writable: bool = False
    owned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one confined process and all its descendants may use together."""

    memory_bytes: int = 1 << 30
    processes: int = 256
    cpus: float | None = None  # share of cores, `None` for no limit
    disk_bytes: int = 256 << 20  # scratch space, counted as memory where it is
    open_files: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One thing to run confined.

    Attributes:
        entry: "module:function"; called with the `sandbox.guest.Channel` of the process.
        mounts: what is seen of the host beside the interpreter, its packages and the system's libraries.
        path: folders inside that are put first on `sys.path`.
        environment: all the environment there is.
        network: whether it shares the host's network; without it there is none.
        name: for people, in the process list and in cgroup names; letters, digits and dashes.
    """

    entry: str
    limits: Limits = Limits()
    mounts: tuple[Mount, ...] = ()
    path: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    network: bool = False
    name: str = "attempt"
