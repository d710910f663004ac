"""What a process tree uses, measured from outside where no cgroup counts it.

What counts: resident and swapped memory, page tables, mappings, shared memory that is mapped but in no resident size,
sockets and pipes. The kernel does not tell what sockets and pipes hold, so where there are many, each counts with what
it can hold. Memory that no process is charged for is refused instead (`calls.WITHOUT_COUNTED_MEMORY`), and scratch
space has a size of its own.

An upper bound is added up first, which is cheap. Only if that passes the limit are shared pages divided among their
processes (proportional set size), for which the kernel walks over each process's mappings. A process whose mappings
cannot be read counts with its upper bound.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from sandbox.kernel import process_tree

_KNOWS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # without: a look at all processes
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
#: So many sockets, and so many pipes, any tree may have without their being counted.
_FREE = 64
#: What a pipe can hold. A process can enlarge some, until its user's pipes hold `pipe-user-pages-soft` together.
_PIPE_BYTES = 64 << 10
#: What the kernel holds for one mapping of a process, and the most of these that it may have unless the host says so.
_MAPPING_BYTES = 256
_MOST_MAPPINGS = 65530
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: Mappings of memory that is no file's: shared anonymous memory, and what was made before the filter stood.
_NO_FILES = (b"/dev/zero", b"/memfd:", b"/SYSV")
#: What is part of the address space, and private or code.
_PRIVATE = (b"VmData", b"VmStk", b"VmExe", b"VmLib")


class ProcessTree:
    """The descendants of a process; not itself, since it is their supervisor, and trusted.

    Args:
        pid: of the process.
        has_network: whether the tree has a network namespace of its own.
    """

    def __init__(self, pid: int, *, has_network: bool) -> None:
        self._pid, self._has_network = pid, has_network
        self._began = _stat(pid).began

    def is_alive(self) -> bool:
        """Whether its first process is alive, and not another one with the same pid."""
        stat = _stat(self._pid)
        return stat.began == self._began and stat.state not in (b"", b"Z", b"X")

    def used_bytes(self, limit_bytes: int) -> int:
        """The memory that it uses.

        Up to the limit this is the sum over its processes: shared pages count more than once, and hidden memory is left
        out. Beyond, it is exact.
        """
        pids = _pids(self._pid)[1:]
        sizes = [_Size.of(pid) for pid in pids]
        held = sum(size.held for size in sizes)
        files = sum(map(_descriptors, pids))
        sockets = self._sockets(pids) if self._has_network else files
        hidden = sum(size.shareable + size.mappings for size in sizes) + _bytes_in(sockets, pipes=files)
        if held + hidden <= limit_bytes:
            return held
        return _told_apart(pids) + self._bytes_in_files(pids)

    def cpu_time_s(self) -> float:
        """User and system time of what lives of it, and of what that has waited for."""
        return cpu_time_s(self._pid)

    def _bytes_in_files(self, pids: Sequence[int]) -> int:
        """The most that its sockets and pipes hold."""
        files = set[str]()
        hidden = 0
        for pid in pids:
            try:
                files |= _files(pid)
            except PermissionError:
                hidden += _descriptors(pid)
        pipes = hidden + sum(file.startswith("pipe:") for file in files)
        sockets = hidden + sum(file.startswith("socket:") for file in files)
        return _bytes_in(self._sockets(pids) if self._has_network else sockets, pipes)

    def _sockets(self, pids: Sequence[int]) -> int:
        """How many sockets its network has, also those that no process has open, being in a message on its way."""
        for pid in pids:
            words = _read(f"/proc/{pid}/net/sockstat").split(maxsplit=3)
            if len(words) > 2:
                return int(words[2])
        return 0


class _Size(NamedTuple):
    """The sizes of one process, in bytes.

    Attributes:
        held: resident, swapped out, and in tables of its pages.
        tables: the page tables alone.
        shareable: address space that is neither private nor code: memory in it may be in no resident size.
        mappings: at most what the kernel holds for mappings, each of which has a page at least.
    """

    held: int = 0
    tables: int = 0
    shareable: int = 0
    mappings: int = 0

    @classmethod
    def of(cls, pid: int) -> _Size:
        """All zero once it has ended."""
        fields = _fields(f"/proc/{pid}/status")
        if b"VmRSS" not in fields:
            return cls()
        tables = fields.get(b"VmPTE", 0)
        size = fields.get(b"VmSize", 0)
        shareable = size - sum(fields.get(name, 0) for name in _PRIVATE)
        mappings = min(size // _PAGE_BYTES, _MOST_MAPPINGS) * _MAPPING_BYTES
        return cls(fields[b"VmRSS"] + fields.get(b"VmSwap", 0) + tables, tables, max(0, shareable), mappings)


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
        return [root, *process_tree.descendants(root)]
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


def _shared(maps: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Inodes of mapped memory that is no file's, and the bytes that are mapped of each, by the lines of `maps`."""
    found = []
    for line in maps:
        place, rights, _, _, inode, *path = line.split(maxsplit=5)
        if rights.endswith(b"s") and path and path[0].startswith(_NO_FILES):
            begin, _, end = place.partition(b"-")
            found.append((inode, int(end, 16) - int(begin, 16)))
    return found


def _told_apart(pids: Sequence[int]) -> int:
    """What the processes hold, shared pages counted once, and all shared memory that they have mapped."""
    used = shared_bytes = resident_bytes = 0
    inodes = set[bytes]()
    for pid in pids:
        size, rollup = _Size.of(pid), _fields(f"/proc/{pid}/smaps_rollup")
        if b"Pss" not in rollup:  # it cannot be read, or has just ended
            used += size.held + size.shareable + size.mappings
            continue
        maps = _read(f"/proc/{pid}/maps").splitlines()
        used += rollup[b"Pss"] + rollup.get(b"SwapPss", 0) + size.tables + len(maps) * _MAPPING_BYTES
        resident_bytes += rollup.get(b"Pss_Shmem", 0)
        for inode, length in _shared(maps):
            shared_bytes += 0 if inode in inodes else length
            inodes.add(inode)
    return used + max(0, shared_bytes - resident_bytes)


def _descriptors(pid: int) -> int:
    """How many it has open; before Linux 6.2, how many it has room for."""
    try:
        return os.stat(f"/proc/{pid}/fd").st_size or _room_for_descriptors(pid)
    except OSError:
        return 0


def _room_for_descriptors(pid: int) -> int:
    lines = _read(f"/proc/{pid}/status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(b"FDSize:")), 0)


def _files(pid: int) -> set[str]:
    """What its descriptors lead to; nothing once it has ended. Raises `PermissionError` if they cannot be read."""
    found = set[str]()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def _bytes_in(sockets: int, pipes: int) -> int:
    return max(0, sockets - _FREE) * _SOCKET_BYTES + max(0, pipes - _FREE) * _PIPE_BYTES


def _fields(path: str) -> dict[bytes, int]:
    """The lines "name: number kB" of a file, in bytes."""
    found: dict[bytes, int] = {}
    for line in _read(path).splitlines():
        name, _, value = line.partition(b":")
        if value.endswith(b" kB"):
            found[name] = int(value[:-3]) << 10
    return found


def _read(path: str) -> bytes:
    """The content of the file; nothing if its process has ended or cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _most_of_a_socket() -> int:
    """What one socket can hold: its default buffers, which the filter lets no task enlarge, and one message more."""
    made = [int(_read(f"/proc/sys/net/core/{side}mem_default") or 212_992) for side in "rw"]
    return max(made) * 3 // 2


_SOCKET_BYTES = _most_of_a_socket()
