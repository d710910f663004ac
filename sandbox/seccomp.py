"""The last wall: system calls that a task has no business with fail, however many holes the kernel has behind them.

The default is to allow, since Python's packages use what they like; denied is what administers a machine, what reaches
into other processes, what makes namespaces and mounts, and what is new, large and often broken. Most fail with EPERM.
ENOSYS is for calls that libraries do without when a kernel lacks them: clone3, whose flags a filter cannot see (clone's
it can), io_uring, and every call that is newer than this table. Another architecture's calls (i386, x32) kill.

Sockets are of the local, IPv4 and IPv6 families, TCP and UDP, and no other: each further protocol is kernel code that
seldom ran in anger, and some (vsock) are held by no namespace. Multipath TCP would evade Landlock's rules for TCP.

A program is made once, in the launcher; an attempt only loads it, after everything else, since it denies the very
calls that confinement is made of.
"""

from __future__ import annotations

import errno
import functools
import os

from sandbox import syscalls
from sandbox.bpf import ALLOW, KILL, Check, Checks, Rule, assemble, deny

_X86, _ARM = "x86_64", "aarch64"
_ARCHITECTURES = {_X86: 0xC000003E, _ARM: 0xC00000B7}
_MACHINE = os.uname().machine
_MACHINES = {"x86_64": _X86, "aarch64": _ARM, "arm64": _ARM}

_DENIED = deny(errno.EPERM)
_UNKNOWN = deny(errno.ENOSYS)
#: Of Linux 6.18; what comes later is not known to this table.
_LAST_KNOWN_CALL = 469
_X32_CALLS = 0x40000000
_ENTERING = (308, 268)

#: name: (number on x86_64, number on aarch64); None where there is none. From 424 on they are the same everywhere.
_DENIED_CALLS: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # mounts, roots and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "open_tree_attr": (467, 467),
    "unshare": (272, 97),
    "setns": _ENTERING,
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "lookup_dcookie": (212, 18),
    # held by no namespace, or a large surface
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "memfd_secret": (447, 447),
}
#: Libraries do without them where a kernel has none.
_ABSENT_CALLS: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
#: Held by the ipc namespace, where there is one; and what Landlock does not look at, where files are the host's.
_CALLS_DENIED_ON_THE_HOST: dict[str, tuple[int | None, int | None]] = {
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}
#: Counted by user. In a user namespace the attempt's own count is limited; without one it would be the runner's.
_CALLS_WITH_A_QUOTA: dict[str, tuple[int | None, int | None]] = {
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
}
#: Memory that shows in no process: only a cgroup counts it. Libraries do without these where a kernel has none.
UNCOUNTED_CALLS: dict[str, tuple[int | None, int | None]] = {
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "vmsplice": (278, 75),
}

_NEW_NAMESPACES = 0x7E020000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_F_SETLEASE = 1024
_F_SET_RW_HINTS = (1036, 1038)
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_RAW, _SOCK_TYPES = 1, 2, 3, 0xF
_TCP, _UDP = 6, 17
_NETLINK_ROUTE = 0
_SETSOCKOPT = (54, 208)
_SOL_SOCKET, _BUFFER_SIZES = 1, (7, 8)


@functools.cache
def program(*, network: bool, namespaces: bool, counted: bool = True, zygote: bool = False, machine: str = "") -> bytes:
    """The filter for this machine, or for `machine` ("x86_64", "aarch64").

    Args:
        network: whether the host's network is shared.
        namespaces: whether namespaces and mounts hold network, ipc and sockets by path; if not, this filter does.
        counted: whether a cgroup counts memory; if not, what shows in no process is refused.
        zygote: whether it is for a zygote, which enters the namespaces of each attempt that it forks.
        machine: as `os.uname` calls it.
    """
    name = _MACHINES[machine or _MACHINE]
    column = 0 if name == _X86 else 1
    rules = _numbered(_DENIED_CALLS, column, _DENIED) | _numbered(_ABSENT_CALLS, column, _UNKNOWN)
    if not counted:
        rules |= _numbered(UNCOUNTED_CALLS, column, _UNKNOWN)
        # A size is a hint. It stays as it was made, so that what a socket can hold is known.
        sizes = Checks((Check(2, _BUFFER_SIZES, deny(0)),))
        rules[_SETSOCKOPT[column]] = Checks((Check(1, (_SOL_SOCKET,), sizes),))
    if not namespaces:
        rules |= _numbered(_CALLS_DENIED_ON_THE_HOST, column, _DENIED)
        rules |= _numbered(_CALLS_WITH_A_QUOTA, column, deny(errno.EMFILE))
    if zygote:
        del rules[_ENTERING[column]]
    for numbers, rule in _checked_calls(network=network, namespaces=namespaces):
        rules[numbers[column]] = rule
    ends = [(_LAST_KNOWN_CALL + 1, _UNKNOWN)]
    if name == _X86:
        ends.append((_X32_CALLS, KILL))
    return assemble(_ARCHITECTURES[name], rules, ends)


def _numbered(calls: dict[str, tuple[int | None, int | None]], column: int, rule: Rule) -> dict[int, Rule]:
    numbers = (pair[column] for pair in calls.values())
    return {number: rule for number in numbers if number is not None}


def _checked_calls(*, network: bool, namespaces: bool) -> list[tuple[tuple[int, int], Rule]]:
    """Calls that depend on their arguments, by their numbers on x86_64 and aarch64."""
    return [
        ((56, 220), Checks((Check(0, (0,), _DENIED, mask=_NEW_NAMESPACES, unless=True),))),  # clone
        ((16, 29), Checks((Check(1, (_TIOCSTI, _TIOCLINUX), _DENIED),))),  # ioctl
        # fcntl: a lease keeps others from opening; a hint stays with a file that others are shown, and bears no date
        ((72, 25), Checks((Check(1, (_F_SETLEASE, *_F_SET_RW_HINTS), _DENIED),))),
        ((41, 198), _socket(network=network, namespaces=namespaces)),
        ((53, 199), _socket_pair(namespaces=namespaces)),
    ]


def _socket(*, network: bool, namespaces: bool) -> Checks:
    no_protocol = deny(errno.EPROTONOSUPPORT)
    tcp_or_udp = Checks(
        (
            Check(1, (_SOCK_STREAM, _SOCK_DGRAM), no_protocol, mask=_SOCK_TYPES, unless=True),
            Check(2, (0, _TCP, _UDP), no_protocol, unless=True),
        )
    )
    checks = [Check(0, (_AF_INET, _AF_INET6), tcp_or_udp if network or namespaces else deny(errno.EACCES))]
    if namespaces:
        checks.append(Check(0, (_AF_UNIX,), ALLOW))
    if network:  # the resolver asks for the host's addresses
        checks.append(Check(0, (_AF_NETLINK,), Checks((Check(2, (_NETLINK_ROUTE,), ALLOW),), otherwise=no_protocol)))
    return Checks(tuple(checks), otherwise=deny(errno.EAFNOSUPPORT))


def _socket_pair(*, namespaces: bool) -> Checks:
    """A pair of datagram sockets can send to any path, so it is a pair no more where paths are the host's."""
    checks = [Check(0, (_AF_UNIX,), deny(errno.EAFNOSUPPORT), unless=True)]
    if not namespaces:
        checks.append(Check(1, (_SOCK_DGRAM,), deny(errno.EPROTONOSUPPORT), mask=_SOCK_TYPES))
        checks.append(Check(1, (_SOCK_RAW,), deny(errno.EPROTONOSUPPORT), mask=_SOCK_TYPES))
    return Checks(tuple(checks))


@functools.cache
def entering_denied() -> bytes:
    """The filter that closes, for an attempt, what the one of its zygote left open."""
    name = _MACHINES[_MACHINE]
    return assemble(_ARCHITECTURES[name], {_ENTERING[0 if name == _X86 else 1]: _DENIED}, [])


@functools.cache
def missing() -> str:
    """Why this wall does not stand on this host; empty if it does."""
    if _MACHINE not in _MACHINES:
        return f"no seccomp: no table of system calls for {_MACHINE}"
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail", encoding="ascii") as file:
            available = file.read()
    except OSError:
        return ""  # the load itself will tell
    return "" if "kill_process" in available else "no seccomp: the kernel's is older than 4.14"


def prepare() -> None:
    """Make every program that an attempt may need, so that whoever is forked from the caller finds it made."""
    if not missing():
        for network in (False, True):
            for namespaces in (False, True):
                for counted in (False, True):
                    program(network=network, namespaces=namespaces, counted=counted)
            program(network=network, namespaces=True, zygote=True)
        entering_denied()


def load(instructions: bytes) -> None:
    """Hold the caller, and all that it will fork, to a filter, for good. Needs no_new_privs. Raises `OSError`."""
    syscalls.checked(syscalls.filter_call(instructions)(), "seccomp")
