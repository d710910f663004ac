"""All system calls of Linux 6.18 on x86_64 and aarch64, with a verdict on each: the table that the filter is made of.

A call that is not in it does not exist inside: one of a newer kernel fails with ENOSYS until it has a row.
`SYSCALLS.md` is this table for people; `document` writes it.

Each theme has a file of its rows. Checks of a call's arguments are in `arguments`. Some filters have other verdicts for
a few calls: `WITH_NETWORK` and the tables below it.
"""

from __future__ import annotations

from sandbox.kernel.bpf import Rule
from sandbox.kernel.calls import arguments
from sandbox.kernel.calls.call import ABSENT, ALLOWED, DENIED, Call
from sandbox.kernel.calls.communication import COMMUNICATION
from sandbox.kernel.calls.descriptors import DESCRIPTORS
from sandbox.kernel.calls.files import FILES
from sandbox.kernel.calls.machine import MACHINE
from sandbox.kernel.calls.memory import MEMORY
from sandbox.kernel.calls.processes import PROCESSES
from sandbox.kernel.calls.timing import TIMING

#: The rows by theme.
THEMES: dict[str, tuple[Call, ...]] = {
    "Files": FILES,
    "Descriptors": DESCRIPTORS,
    "Memory": MEMORY,
    "Processes": PROCESSES,
    "Signals and time": TIMING,
    "Sockets and ipc": COMMUNICATION,
    "The machine": MACHINE,
}
CALLS: tuple[Call, ...] = tuple(call for calls in THEMES.values() for call in calls)

#: If the host's network is shared: at full, at restricted. The resolver asks for the host's addresses.
WITH_NETWORK: dict[str, tuple[Rule, Rule]] = {"socket": (arguments.SOCKET_AND_ADDRESSES, arguments.SOCKET_OF_THE_HOST)}
#: A zygote enters the namespaces of its inits. Its attempts get `CLOSED_FOR_ATTEMPTS` as a second filter.
OF_A_ZYGOTE: dict[str, Rule] = {"setns": ALLOWED}
CLOSED_FOR_ATTEMPTS: dict[str, Rule] = {"setns": DENIED}
#: If neither a pid namespace nor Landlock confines signals: to the caller's own process group, and no other.
WITHOUT_SCOPED_SIGNALS: dict[str, Rule] = {
    "kill": arguments.OWN_PID,
    "tkill": DENIED,
    "tgkill": DENIED,
    "rt_sigqueueinfo": DENIED,
    "rt_tgsigqueueinfo": DENIED,
    "pidfd_send_signal": DENIED,
}
#: If no cgroup counts memory: calls whose memory shows in no process. Libraries do without them if a kernel has none.
WITHOUT_COUNTED_MEMORY: dict[str, Rule] = {
    "memfd_create": ABSENT,
    "shmget": ABSENT,
    "semget": ABSENT,
    "msgget": ABSENT,
    "vmsplice": ABSENT,
    "landlock_create_ruleset": ABSENT,
    "epoll_create": ABSENT,
    "epoll_create1": ABSENT,
    "setsockopt": arguments.BUFFERS_AS_MADE,
}
