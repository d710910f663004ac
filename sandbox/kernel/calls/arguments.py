"""Checks of the arguments of system calls. A filter sees registers only: no paths, no structures in memory.

Commands (of fcntl, ioctl, prctl) are listed one by one, as calls are: one that is not listed fails as on a kernel that
does not know it.
"""

from __future__ import annotations

import errno

from sandbox.kernel.bpf import ALLOW, Check, Checks, Rule, deny
from sandbox.kernel.calls.call import ABSENT, DENIED

_SET_ID = 0o6000
_KIND_OF_FILE, _CHARACTER_DEVICE, _BLOCK_DEVICE = 0o170000, 0o020000, 0o060000
_CREATING = 0o100 | 0o20000000  # O_CREAT, O_TMPFILE: without these the mode has no meaning and may be anything


def _refuse_set_id(mode: int) -> Check:
    return Check(mode, (0,), DENIED, mask=_SET_ID, unless=True)


def _opening(flags: int) -> Checks:
    made = Checks((_refuse_set_id(flags + 1),))
    return Checks((Check(flags, (0,), made, mask=_CREATING, unless=True),))


def _making_node(mode: int) -> Checks:
    device = Check(mode, (_CHARACTER_DEVICE, _BLOCK_DEVICE), DENIED, mask=_KIND_OF_FILE)
    return Checks((_refuse_set_id(mode), device))


SECOND_IS_MODE = Checks((_refuse_set_id(1),))
THIRD_IS_MODE = Checks((_refuse_set_id(2),))
OPEN = _opening(flags=1)
OPENAT = _opening(flags=2)
MKNOD = _making_node(mode=1)
MKNODAT = _making_node(mode=2)
MQ_OPEN = OPEN

_MAP_HUGETLB, _MFD_HUGETLB, _SHM_HUGETLB = 0x40000, 4, 0o4000
MMAP = Checks((Check(3, (0,), deny(errno.ENOMEM), mask=_MAP_HUGETLB, unless=True),))
MEMFD = Checks((Check(1, (0,), ABSENT, mask=_MFD_HUGETLB, unless=True),))
SHMGET = Checks((Check(2, (0,), DENIED, mask=_SHM_HUGETLB, unless=True),))

_MADV_MERGEABLE = 12
#: Pages that are merged with those of other processes are slower to write to, which tells what those hold.
MADVISE = Checks((Check(2, (_MADV_MERGEABLE,), deny(errno.EINVAL)),))
_RWF_NOWAIT = 8
#: Without waiting, the call tells whether another process has lately read this part of a file.
WITH_FLAGS = Checks((Check(5, (0,), deny(errno.EOPNOTSUPP), mask=_RWF_NOWAIT, unless=True),))

_NEW_NAMESPACES = 0x7E020000
#: With CLONE_PARENT the child is the supervisor's, and the caller cannot wait for it.
_CLONE_PARENT, _CLONE_PTRACE, _CLONE_UNTRACED = 0x8000, 0x2000, 0x800000
_REFUSED_OF_CLONE = _NEW_NAMESPACES | _CLONE_PARENT | _CLONE_PTRACE | _CLONE_UNTRACED
CLONE = Checks((Check(0, (0,), DENIED, mask=_REFUSED_OF_CLONE, unless=True),))

#: Without namespaces any other pid may be another user's process; 0 is the caller.
OWN_PID = Checks((Check(0, (0,), DENIED, unless=True),))
#: The supervisor is PID 1 of each pid namespace, and has the same user as the task.
_SUPERVISOR = 1
PID_NOT_SUPERVISOR = Checks((Check(0, (_SUPERVISOR,), DENIED),))

_ORDINARY_POLICIES = (0, 3, 5)  # SCHED_OTHER, SCHED_BATCH, SCHED_IDLE
_RESET_ON_FORK = 0x40000000
_ORDINARY = Check(1, _ORDINARY_POLICIES, DENIED, mask=0xFFFFFFFF ^ _RESET_ON_FORK, unless=True)
_WITHOUT_EFFECT = deny(0)
_RLIMIT_CORE = 4
#: The present limit stops dumps to a file and to a program. A limit of 0, which programs with secrets set, would allow
#: the latter, which runs as the host's root. They get what they want without it, so the call seems to succeed.
SETRLIMIT = Checks((Check(0, (_RLIMIT_CORE,), _WITHOUT_EFFECT),))
_READS_LIMIT = Checks(
    (Check(2, (0,), _WITHOUT_EFFECT, unless=True), Check(2, (0,), _WITHOUT_EFFECT, unless=True, high=True))
)
_LIMIT_OF_CORES = Check(1, (_RLIMIT_CORE,), _READS_LIMIT)
PRLIMIT = Checks((*PID_NOT_SUPERVISOR.checks, _LIMIT_OF_CORES))
OWN_PRLIMIT = Checks((*OWN_PID.checks, _LIMIT_OF_CORES))

SCHEDULER = Checks((*PID_NOT_SUPERVISOR.checks, _ORDINARY))
OWN_SCHEDULER = Checks((*OWN_PID.checks, _ORDINARY))


def _priority(kinds: tuple[int, ...]) -> Checks:
    """Allows one process or one group, except the supervisor; not a user, which includes the supervisor."""
    return Checks((Check(0, kinds, DENIED, unless=True), Check(1, (_SUPERVISOR,), DENIED)))


def _own_priority(kinds: tuple[int, ...]) -> Checks:
    return Checks((Check(0, kinds, DENIED, unless=True), Check(1, (0,), DENIED, unless=True)))


_PROCESS_OR_GROUP, _IO_PROCESS_OR_GROUP = (0, 1), (1, 2)
PRIORITY, OWN_PRIORITY = _priority(_PROCESS_OR_GROUP), _own_priority(_PROCESS_OR_GROUP)
IO_PRIORITY, OWN_IO_PRIORITY = _priority(_IO_PROCESS_OR_GROUP), _own_priority(_IO_PROCESS_OR_GROUP)

FCNTL = Checks(
    (
        Check(
            1,
            (
                *range(8),  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW
                *(9, 11, 16, 17),  # F_GETOWN, F_GETSIG, F_GETOWN_EX, F_GETOWNER_UIDS
                *(36, 37, 38),  # F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW
                *(1025, 1027, 1028),  # F_GETLEASE, F_DUPFD_QUERY, F_CREATED_QUERY
                *(1030, 1032),  # F_DUPFD_CLOEXEC, F_GETPIPE_SZ
                *(1033, 1034),  # F_ADD_SEALS, F_GET_SEALS
                *(1035, 1037),  # F_GET_RW_HINT, F_GET_FILE_RW_HINT
            ),
            ALLOW,
        ),
    ),
    otherwise=deny(errno.EINVAL),
)

_SIOCETHTOOL = 0x8946
IOCTL = Checks(
    (
        Check(
            1,
            (
                *(0x541B, 0x5421, 0x5450, 0x5451, 0x5460),  # FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, FIOQSIZE
                *(0x5401, 0x802C542A, 0x5413, 0x540F, 0x5429),  # a terminal's attributes, size, group, session: reads
                *(0x2, 0x80086601, 0x80045200),  # FIGETBSZ, FS_IOC_GETFLAGS, RNDGETENTCNT
                *(0x40049409, 0x4020940D),  # FICLONE, FICLONERANGE
                *(0x5411, 0x894B, 0x8905),  # SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK
                *(0x8910, 0x8912, 0x8913, 0x8915, 0x8917, 0x8919, 0x891B, 0x8921, 0x8927, 0x8933),  # SIOCGIF…
            ),
            ALLOW,
        ),
        Check(1, (_SIOCETHTOOL,), deny(errno.EOPNOTSUPP)),
    ),
    otherwise=deny(errno.ENOTTY),
)

PRCTL = Checks(
    (
        Check(
            0,
            (
                *(1, 2, 3, 4),  # PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE
                *(7, 8, 15, 16),  # PR_GET_KEEPCAPS, PR_SET_KEEPCAPS, PR_SET_NAME, PR_GET_NAME
                *(21, 22, 23, 24, 25, 27, 28),  # seccomp, the bounding set, PR_GET_TSC, the secure bits
                *(29, 30, 34),  # PR_SET_TIMERSLACK, PR_GET_TIMERSLACK, PR_MCE_KILL_GET
                *(36, 37, 38, 39, 40),  # child subreaper, no_new_privs, PR_GET_TID_ADDRESS
                *(41, 42, 47),  # PR_SET_THP_DISABLE, PR_GET_THP_DISABLE, PR_CAP_AMBIENT
                *(50, 51, 54, 55, 56, 60, 61, 63, 64),  # of aarch64: vectors, keys of pointers, tagged addresses
                *(52, 65, 66, 68),  # PR_GET_SPECULATION_CTRL, PR_SET_MDWE, PR_GET_MDWE, PR_GET_MEMORY_MERGE
                *(74, 75, 76),  # the shadow stack
                0x53564D41,  # PR_SET_VMA: names for memory
            ),
            ALLOW,
        ),
    ),
    otherwise=deny(errno.EINVAL),
)

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_RAW, _SOCK_TYPES = 1, 2, 3, 0xF
_TCP, _UDP = 6, 17
_NETLINK_ROUTE = 0
_NO_PROTOCOL, _NO_FAMILY = deny(errno.EPROTONOSUPPORT), deny(errno.EAFNOSUPPORT)

_LOCAL = Check(0, (_AF_UNIX,), ALLOW)
_ADDRESSES = Check(0, (_AF_NETLINK,), Checks((Check(2, (_NETLINK_ROUTE,), ALLOW),), otherwise=_NO_PROTOCOL))


def _internet(then: Rule) -> Check:
    return Check(0, (_AF_INET, _AF_INET6), then)


_TCP_OR_UDP = _internet(
    Checks(
        (
            Check(1, (_SOCK_STREAM, _SOCK_DGRAM), _NO_PROTOCOL, mask=_SOCK_TYPES, unless=True),
            Check(2, (0, _TCP, _UDP), _NO_PROTOCOL, unless=True),
        )
    )
)
#: Every other protocol is rarely used code of the kernel, and some (vsock) are in no namespace. Multipath TCP would
#: evade Landlock's rules for TCP.
SOCKET = Checks((_TCP_OR_UDP, _LOCAL), otherwise=_NO_FAMILY)
SOCKET_AND_ADDRESSES = Checks((_TCP_OR_UDP, _LOCAL, _ADDRESSES), otherwise=_NO_FAMILY)
SOCKET_OF_THE_HOST = Checks((_TCP_OR_UDP, _ADDRESSES), otherwise=_NO_FAMILY)
NO_SOCKET = Checks((_internet(deny(errno.EACCES)),), otherwise=_NO_FAMILY)

_A_PAIR = Check(0, (_AF_UNIX,), _NO_FAMILY, unless=True)
SOCKET_PAIR = Checks((_A_PAIR,))
#: Datagram sockets of a pair can send to any path, so these are refused where paths are the host's.
CONNECTED_SOCKET_PAIR = Checks((_A_PAIR, Check(1, (_SOCK_DGRAM, _SOCK_RAW), _NO_PROTOCOL, mask=_SOCK_TYPES)))

_SOL_SOCKET, _SO_LINGER, _BUFFER_SIZES = 1, 13, (7, 8)
#: To close a lingering socket is to wait for its other side. A process that the socket was sent to may have to do that.
_NO_LINGERING = Check(2, (_SO_LINGER,), _WITHOUT_EFFECT)
SETSOCKOPT = Checks((Check(1, (_SOL_SOCKET,), Checks((_NO_LINGERING,))),))
#: The call succeeds without effect, so that it is known how much a socket can hold.
BUFFERS_AS_MADE = Checks((Check(1, (_SOL_SOCKET,), Checks((_NO_LINGERING, Check(2, _BUFFER_SIZES, _WITHOUT_EFFECT)))),))

_MSG_FASTOPEN = 0x20000000
_NO_FAST_OPEN = deny(errno.EOPNOTSUPP)


def _sending(flags: int) -> Checks:
    """Refuses to connect while sending: Landlock checks `connect` alone."""
    return Checks((Check(flags, (0,), _NO_FAST_OPEN, mask=_MSG_FASTOPEN, unless=True),))


SENDTO, SENDMSG, SENDMMSG = _sending(flags=3), _sending(flags=2), _sending(flags=3)
