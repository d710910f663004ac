"""The private root: what of the host is shown in every sandbox, and the few files that are made for it.

    /usr /bin /lib …    the system's programs and libraries, read-only; symlinks where the host has symlinks
    the interpreter     its prefix and that of the virtual environment: lib, bin; site-packages on `sys.path`
    packages            each by itself, at the host's path, so that the launcher's `sys.path` is right inside too
    /etc                made: users, hosts; of the host: the linker's cache, time zone, certificates
    /dev                null, zero, full, random, urandom; /dev/shm shares the scratch space of /tmp
    /proc               fresh, read-only
    /tmp                scratch, counted and capped

No folder is shown as a whole merely because it is on `sys.path`: a project's folder holds its store and tokens. Parents
of what is shown are new, empty folders that everybody can search, whatever the host's own parents allow. The host's
folders are looked up once, in the launcher.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from sandbox.errors import LauncherError
from sandbox.kernel import mount_calls
from sandbox.kernel.identity import INNER_ID

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_ETC = ("ld.so.cache", "alternatives", "ssl", "pki", "ca-certificates", "crypto-policies", "mime.types")
_ETC_WITH_NETWORK = ("hosts", "resolv.conf", "nsswitch.conf", "services", "protocols", "gai.conf")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_DEV_LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}
#: Where tasks find scratch space.
SCRATCH = ("/tmp", "/dev/shm")
_PROC = mount_calls.MS_NOSUID | mount_calls.MS_NODEV | mount_calls.MS_NOEXEC
_PAGE_BYTES = 4096
_LEAST_INODES = 1024

_MADE_FILES = {
    "/etc/passwd": (
        "root:x:0:0:root:/:/sbin/nologin\n"
        f"task:x:{INNER_ID}:{INNER_ID}:task:/tmp:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/:/sbin/nologin\n"
    ),
    "/etc/group": f"root:x:0:\ntask:x:{INNER_ID}:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """What of the host every sandbox shows, at the path that it has there.

    Attributes:
        shown: folders and files.
        with_network: files of /etc that are shown where the host's network is shared.
        devices: of /dev.
        folders: to make for what follows.
        links: path to what it points to.
        files: path to content.
    """

    shown: tuple[str, ...]
    with_network: tuple[str, ...]
    devices: tuple[str, ...]
    folders: tuple[str, ...]
    links: dict[str, str]
    files: dict[str, str]


def survey(packages: Iterable[str]) -> Layout:
    """Look up what every sandbox shows of this host, including `packages` (importable names)."""
    shown = _Shown()
    links = dict(_DEV_LINKS) | {"/var/tmp": "/tmp"}
    for path in _SYSTEM:
        if os.path.islink(path):
            links[path] = os.readlink(path)
        else:
            shown.add(path)
    for prefix in (sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix):
        for part in ("bin", "lib", "lib64", "pyvenv.cfg"):
            shown.add(f"{prefix}/{part}")
    for entry in sys.path:
        if os.path.basename(entry) in ("site-packages", "dist-packages"):
            shown.add(entry)
    for name in packages:
        shown.add(_folder_of(name))
    for name in _ETC:
        shown.add(f"/etc/{name}")
    if os.path.islink("/etc/localtime"):
        links["/etc/localtime"] = os.readlink("/etc/localtime")
    else:
        shown.add("/etc/localtime")
    return Layout(
        shown=shown.paths(),
        with_network=tuple(f"/etc/{name}" for name in _ETC_WITH_NETWORK if os.path.exists(f"/etc/{name}")),
        devices=tuple(path for path in _DEVICES if os.path.exists(path)),
        folders=("/etc", "/dev", "/dev/shm", "/tmp", "/var", "/proc"),
        links=links,
        files=_MADE_FILES,
    )


class _Shown:
    """Paths that exist, without those inside another one."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}  # as named -> as resolved

    def add(self, path: str) -> None:
        """Add `path`, and its real path too if symlinks lead there."""
        if not os.path.exists(path):
            return
        real = os.path.realpath(path)
        for name in {real, os.path.abspath(path)}:
            if not any(real == other or real.startswith(other + "/") for other in self._paths.values()) or (
                name != real and not any(name.startswith(other + "/") for other in (*self._paths, *_SYSTEM))
            ):
                self._paths[name] = real

    def paths(self) -> tuple[str, ...]:
        """Outer folders first."""
        return tuple(sorted(self._paths))


def _folder_of(package: str) -> str:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise LauncherError(f"the package {package!r} that is to be shown in the sandbox cannot be imported")
    return os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin


def enter(staging: str = "/tmp") -> None:
    """Make an empty root at `staging` and enter it. The host's root is still mounted on top of it, as `.`."""
    mount_calls.make_mounts_private()
    mount_calls.mount("tmpfs", staging, "tmpfs", mount_calls.MS_NOSUID | mount_calls.MS_NODEV, "mode=755,size=16m")
    os.chdir(staging)
    mount_calls.pivot_root(".", ".")


def leave_host() -> None:
    """Detach the host's root, in which `enter` left the caller."""
    mount_calls.detach(".")
    os.chdir("/")


def make_files(layout: Layout, hosts: str, *, network: bool) -> None:
    """Make the files and links of the new root, except where the host's are shown; `hosts` is for /etc/hosts."""
    for folder in layout.folders:
        os.mkdir(folder, 0o755)
    for path, text in {**layout.files, "/etc/hosts": hosts}.items():
        if not (network and path in layout.with_network):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.write(file, text.encode())
            os.close(file)
    for path, target in layout.links.items():
        os.symlink(target, path)


def mount_scratch(size_bytes: int) -> None:
    """Mount one filesystem of this size for /tmp and /dev/shm together."""
    inodes = max(size_bytes // _PAGE_BYTES, _LEAST_INODES)
    options = f"mode=755,size={size_bytes},nr_inodes={inodes}"
    flags = mount_calls.MS_NOSUID | mount_calls.MS_NODEV | mount_calls.MS_NOATIME  # so that reading leaves no trace
    mount_calls.mount("tmpfs", "/tmp", "tmpfs", flags, options)
    trees = []
    for name, target in zip(("tmp", "shm"), SCRATCH, strict=True):
        os.mkdir(f"/tmp/{name}")
        os.chmod(f"/tmp/{name}", 0o1777)  # noqa: S103 - as /tmp is everywhere
        trees.append((mount_calls.clone_mount(f"/tmp/{name}"), target))
    mount_calls.detach("/tmp")
    for tree, target in trees:
        mount_calls.attach_mount(tree, target)
        os.close(tree)


def unmount_scratch() -> None:
    """Unmount what `mount_scratch` mounted, and so remove everything that was written there."""
    for target in SCRATCH:
        mount_calls.detach(target)


def mount_proc() -> int:
    """Mount a fresh, read-only /proc. Returns a descriptor through which it can still be written."""
    mount_calls.mount("proc", "/proc", "proc", _PROC)
    writable = mount_calls.clone_mount("/proc")
    mount_calls.set_attributes_at("/proc", mount_calls.MOUNT_ATTR_RDONLY)
    return writable


def mount_proc_again() -> None:
    """Mount the /proc of a new pid namespace, read-only, over the existing one."""
    mount_calls.mount("proc", "/proc", "proc", _PROC | mount_calls.MS_RDONLY)


def make_read_only() -> None:
    """Make the root itself read-only; mounts in it keep their own attributes."""
    mount_calls.set_attributes_at(
        "/", mount_calls.MOUNT_ATTR_RDONLY | mount_calls.MOUNT_ATTR_NOSUID | mount_calls.MOUNT_ATTR_NODEV
    )
