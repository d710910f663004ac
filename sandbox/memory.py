"""What a tree of processes uses, measured from outside where no cgroup counts it.

Counted is what is resident or swapped out, page tables, shared memory that is mapped but shows in no resident size, and
sockets: nobody tells what these hold, so each beyond the first few counts with what it can hold. What would be charged
to nobody is refused instead (`seccomp.UNCOUNTED_CALLS`), and scratch space has a size of its own.

A bound is added up first, which is cheap and never too low. Only where that passes the limit are pages told apart that
several processes share (proportional set size), which costs the kernel a walk over each process's mappings. Who keeps
its mappings from being read counts with the bound.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from sandbox import kinship

_KNOWS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # without: a look at all processes
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
#: So many sockets a tree has without meaning anything by it.
_FREE_SOCKETS = 64
#: Mappings of memory that is no file's: shared anonymous memory, and what was made before the filter stood.
_NO_FILES = (b"/dev/zero", b"/memfd:", b"/SYSV")
#: What is part of the address space, and private or code.
_PRIVATE = (b"VmData", b"VmStk", b"VmExe", b"VmLib")


class Tree:
    """A process and its descendants, without itself: it is their supervisor, and trusted.

    Args:
        pid: of the process.
        has_network: whether the tree has a network namespace of its own.
    """

    def __init__(self, pid: int, *, has_network: bool) -> None:
        self._pid, self._has_network = pid, has_network
        self._began = _stat(pid).began

    def is_alive(self) -> bool:
        """Whether its first process is, and no other has its pid."""
        stat = _stat(self._pid)
        return stat.began == self._began and stat.state not in (b"", b"Z", b"X")

    def used_bytes(self, limit_bytes: int) -> int:
        """The memory that it uses; up to the limit this is a bound, which counts twice what processes share."""
        pids = self._pids()[1:]
        each = [_Size.of(pid) for pid in pids]
        sockets = _bytes_of_sockets(self._most_sockets(pids))
        used = sum(size.held for size in each) + sockets
        if used + sum(size.shareable for size in each) <= limit_bytes:
            return used
        return self._told_apart(pids) + _bytes_of_sockets(self._sockets(pids))

    def cpu_time_s(self) -> float:
        """User and system time of what lives of it, and of what that has waited for."""
        return cpu_time_s(self._pid)

    def _pids(self) -> list[int]:
        return _pids(self._pid)

    def _told_apart(self, pids: Sequence[int]) -> int:
        used = 0
        shared_bytes = resident_bytes = 0
        inodes: set[bytes] = set()
        for pid in pids:
            size, rollup = _Size.of(pid), _fields(f"/proc/{pid}/smaps_rollup")
            if b"Pss" not in rollup:  # it hides, or is just gone
                used += size.held + size.shareable
                continue
            used += rollup[b"Pss"] + rollup.get(b"SwapPss", 0) + size.tables
            resident_bytes += rollup.get(b"Pss_Shmem", 0)
            for inode, length in _shared(pid):
                shared_bytes += 0 if inode in inodes else length
                inodes.add(inode)
        return used + max(0, shared_bytes - resident_bytes)

    def _most_sockets(self, pids: Sequence[int]) -> int:
        return self._sockets(pids) if self._has_network else sum(map(_descriptors, pids))

    def _sockets(self, pids: Sequence[int]) -> int:
        """How many there are: those too that are on their way in messages, where its network is its own."""
        if not self._has_network:
            return sum(map(_open_sockets, pids))
        for pid in pids:
            words = _read(f"/proc/{pid}/net/sockstat").split(maxsplit=3)
            if len(words) > 2:
                return int(words[2])
        return 0


class _Size(NamedTuple):
    """Of one process, in bytes.

    Attributes:
        held: resident, swapped out, and in tables of its pages.
        tables: the last of these.
        shareable: address space that is neither private nor code: here memory may be that nobody has resident.
    """

    held: int = 0
    tables: int = 0
    shareable: int = 0

    @classmethod
    def of(cls, pid: int) -> _Size:
        """Nothing once it has ended."""
        fields = _fields(f"/proc/{pid}/status")
        if b"VmRSS" not in fields:
            return cls()
        tables = fields.get(b"VmPTE", 0)
        shareable = fields.get(b"VmSize", 0) - sum(fields.get(name, 0) for name in _PRIVATE)
        return cls(fields[b"VmRSS"] + fields.get(b"VmSwap", 0) + tables, tables, max(0, shareable))


class _Stat(NamedTuple):
    state: bytes = b""
    began: int = -1
    ticks: int = 0


def cpu_time_s(pid: int) -> float:
    """User and system time of a process and its living descendants, and of all that these have waited for."""
    return sum(_stat(each).ticks for each in _pids(pid)) / _TICKS_A_SECOND


def _pids(root: int) -> list[int]:
    """The process and its descendants, as far as they live."""
    if not _KNOWS_CHILDREN:
        return [root, *kinship.descendants(root)]
    tree = [root]
    for each in tree:  # grows while it is walked
        try:
            threads = os.listdir(f"/proc/{each}/task")
        except OSError:  # it ended meanwhile
            continue
        for thread in threads:
            tree += map(int, _read(f"/proc/{each}/task/{thread}/children").split())
    return tree


def _stat(pid: int) -> _Stat:
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return _Stat(fields[0], int(fields[19]), sum(map(int, fields[11:15]))) if fields else _Stat()


def _shared(pid: int) -> list[tuple[bytes, int]]:
    """Inodes of mapped memory that is no file's, and the bytes that are mapped of each."""
    found = []
    for line in _read(f"/proc/{pid}/maps").splitlines():
        place, rights, _, _, inode, *path = line.split(maxsplit=5)
        if rights.endswith(b"s") and path and path[0].startswith(_NO_FILES):
            begin, _, end = place.partition(b"-")
            found.append((inode, int(end, 16) - int(begin, 16)))
    return found


def _descriptors(pid: int) -> int:
    """How many it has open; before Linux 6.2 only by looking at each."""
    try:
        return os.stat(f"/proc/{pid}/fd").st_size or _open_sockets(pid)
    except OSError:
        return 0


def _open_sockets(pid: int) -> int:
    folder, count = f"/proc/{pid}/fd", 0
    try:
        names = os.listdir(folder)
    except PermissionError:  # it hides
        return os.stat(folder).st_size if os.path.exists(folder) else 0
    except OSError:
        return 0
    for name in names:
        try:
            count += os.readlink(f"{folder}/{name}").startswith("socket:")
        except OSError:
            continue  # closed meanwhile
    return count


def _bytes_of_sockets(count: int) -> int:
    return max(0, count - _FREE_SOCKETS) * _SOCKET_BYTES


def _fields(path: str) -> dict[bytes, int]:
    """The lines "name: number kB" of a file, in bytes."""
    found: dict[bytes, int] = {}
    for line in _read(path).splitlines():
        name, _, value = line.partition(b":")
        if value.endswith(b" kB"):
            found[name] = int(value[:-3]) << 10
    return found


def _read(path: str) -> bytes:
    """What is in the file; nothing if its process ended meanwhile, or hides it."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _most_of_a_socket() -> int:
    """What one socket can hold: the filter leaves its buffers as they were made, and one message more fits in."""
    made = [int(_read(f"/proc/sys/net/core/{side}mem_default") or 212_992) for side in "rw"]
    return max(made) * 3 // 2


_SOCKET_BYTES = _most_of_a_socket()
