"""Bind mounts: first all sources are opened as detached trees, then these are attached in the new root.

A source's path is looked up once, on the host, before the root changes; a target's only inside the new root. So no
symlink leads from one to the other. For a mount of the spec no symlink is followed at all: a task may have put one
there, through a writable mount of a folder above.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from sandbox.errors import SetupError
from sandbox.kernel import mount_calls, syscalls

_SHOWN = mount_calls.MOUNT_ATTR_RDONLY | mount_calls.MOUNT_ATTR_NOSUID | mount_calls.MOUNT_ATTR_NODEV
_WRITABLE = mount_calls.MOUNT_ATTR_NOSUID | mount_calls.MOUNT_ATTR_NODEV
_DEVICE = mount_calls.MOUNT_ATTR_RDONLY | mount_calls.MOUNT_ATTR_NOSUID | mount_calls.MOUNT_ATTR_NOEXEC


@dataclass(frozen=True, slots=True)
class MountTree:
    """A detached mount tree, and where it is to be attached."""

    descriptor: int
    target: str
    is_folder: bool
    is_granted: bool = False  # asked for by the spec


def open_shown(source: str, target: str) -> MountTree:
    """The tree at `source`, read-only, with everything that is mounted below it."""
    return _prepare(mount_calls.clone_mount(source), target, _SHOWN)


def open_device(path: str) -> MountTree:
    """A device of the host, at its own path."""
    return _prepare(mount_calls.clone_mount(path), path, _DEVICE)


def open_granted(source: str, target: str, *, writable: bool, owner_map: int | None) -> MountTree:
    """A mount that the spec asks for.

    Args:
        source: path on the host.
        target: path inside.
        writable: whether it can be written.
        owner_map: the user namespace by which owners on disk are translated, `None` to leave them as they are. If the
            filesystem cannot translate them (idmapped mounts), a read-only mount shows them as they are.

    Raises:
        SetupError: a symbolic link leads to it; or it is writable, and the filesystem cannot translate owners.
    """
    place = _open_place(source)
    try:
        clone = mount_calls.clone_mount_at(place)
    finally:
        os.close(place)
    tree = _prepare(clone, target, _WRITABLE if writable else _SHOWN, is_granted=True)
    if owner_map is not None:
        try:
            mount_calls.set_mount_attributes(tree.descriptor, 0, owner_map)
        except OSError as error:
            if writable:
                reason = (
                    f"the filesystem of {source} cannot map owners (idmapped mounts); mount a folder of another one"
                )
                raise SetupError("mounts", reason, error.errno) from error
    return tree


def open_again(target: str) -> MountTree:
    """What is mounted at `target` now, to be attached there again after something was mounted over it."""
    tree = mount_calls.clone_mount(target)
    return MountTree(tree, target, stat.S_ISDIR(os.fstat(tree).st_mode), is_granted=False)


def _open_place(path: str) -> int:
    try:
        return syscalls.open_place(path)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        reason = f"a symbolic link leads to {path}; mount the place that it leads to"
        raise SetupError("mounts", reason, error.errno) from error


def _prepare(tree: int, target: str, attributes: int, *, is_granted: bool = False) -> MountTree:
    mount_calls.set_mount_attributes(tree, attributes)
    return MountTree(tree, target, stat.S_ISDIR(os.fstat(tree).st_mode), is_granted)


def attach(tree: MountTree) -> None:
    """Attach an opened tree at its target, which is made if it does not exist."""
    if tree.is_folder:
        os.makedirs(tree.target, mode=0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(tree.target), mode=0o755, exist_ok=True)
        os.close(os.open(tree.target, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o644))
    if tree.is_granted:
        place = _open_place(tree.target)
        mount_calls.attach_mount_at(tree.descriptor, place)
        os.close(place)
    else:
        mount_calls.attach_mount(tree.descriptor, tree.target)
    os.close(tree.descriptor)
