"""The kernel's calls for mounts. Each function is one call, and raises OSError."""

from __future__ import annotations

import ctypes
import os
import struct

from sandbox.kernel.syscalls import IS_ARM, checked, libc, syscall

_SYS_PIVOT_ROOT = 41 if IS_ARM else 155
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_NOATIME = 1024
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_IDMAP = 0x100000

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a filesystem of a kind."""
    checked(
        libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()),
        f"mount {kind} on {target}",
    )


def make_mounts_private() -> None:
    """Stop mounts from propagating between this mount namespace and the one it was copied from."""
    checked(libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount --make-rprivate /")


def detach(target: str) -> None:
    """Take a mount, and what is mounted below it, out of the tree."""
    checked(libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root of this mount namespace."""
    syscall("pivot_root", _SYS_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old))


def clone_mount(path: str) -> int:
    """A detached copy of the mount tree at `path` (a bind mount that is mounted nowhere yet), as a descriptor."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    return syscall(
        f"open_tree {path}", _SYS_OPEN_TREE, ctypes.c_int(_AT_FDCWD), os.fsencode(path), ctypes.c_uint(flags)
    )


def clone_mount_at(place: int) -> int:
    """As `clone_mount`, of the mount tree at an open descriptor."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | _AT_EMPTY_PATH | os.O_CLOEXEC
    return syscall("open_tree", _SYS_OPEN_TREE, ctypes.c_int(place), b"", ctypes.c_uint(flags))


def attach_mount_at(tree: int, place: int) -> None:
    """Mount what was cloned at an open descriptor."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    syscall("move_mount", _SYS_MOVE_MOUNT, ctypes.c_int(tree), b"", ctypes.c_int(place), b"", ctypes.c_uint(flags))


def attach_mount(tree: int, target: str) -> None:
    """Mount at a path what `clone_mount` returned."""
    syscall(
        f"move_mount to {target}",
        _SYS_MOVE_MOUNT,
        ctypes.c_int(tree),
        b"",
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
    )


def set_mount_attributes(tree: int, attributes: int, user_namespace: int | None = None) -> None:
    """Add attributes to all of a detached mount tree; with a user namespace, map its owners by that."""
    mapping = 0 if user_namespace is None else user_namespace
    if user_namespace is not None:
        attributes |= MOUNT_ATTR_IDMAP
    record = struct.pack("QQQQ", attributes, 0, 0, mapping)
    syscall(
        "mount_setattr",
        _SYS_MOUNT_SETATTR,
        ctypes.c_int(tree),
        b"",
        ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE),
        record,
        ctypes.c_size_t(len(record)),
    )


def set_attributes_at(path: str, attributes: int) -> None:
    """Add attributes to the one mount at `path`."""
    record = struct.pack("QQQQ", attributes, 0, 0, 0)
    syscall(
        f"mount_setattr {path}",
        _SYS_MOUNT_SETATTR,
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(path),
        ctypes.c_uint(0),
        record,
        ctypes.c_size_t(len(record)),
    )
