"""The filter of system calls, the last wall: calls that a task does not need fail, so holes behind them do not matter.

Every allowed call has a row in the table of `calls`. A call without a row, and so each new one of later kernels, does
not exist inside (ENOSYS). Denied are calls that administer the machine, reach into other processes, make namespaces and
mounts, use what is counted for the whole machine, and those that are new, large and often broken. Most fail with EPERM.
ENOSYS is for calls that libraries do without if a kernel lacks them: io_uring, and clone3, whose flags a filter cannot
see (it can see clone's). Calls of another architecture (i386, x32) kill.

The programs are made once, in the launcher. An attempt only loads one, after everything else, since it denies the calls
that the other steps make.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

from sandbox.kernel import landlock, syscalls
from sandbox.kernel.bpf import KILL, Rule, assemble
from sandbox.kernel.calls import (
    CALLS,
    CLOSED_FOR_ATTEMPTS,
    OF_A_ZYGOTE,
    WITH_NETWORK,
    WITHOUT_COUNTED_MEMORY,
    WITHOUT_SCOPED_SIGNALS,
)
from sandbox.kernel.calls.call import ABSENT

_X86, _ARM = "x86_64", "aarch64"
_ARCHITECTURES = {_X86: 0xC000003E, _ARM: 0xC00000B7}
_MACHINE = os.uname().machine
_MACHINES = {"x86_64": _X86, "aarch64": _ARM, "arm64": _ARM}
_X32_CALLS = 0x40000000


def program(
    *,
    network: bool,
    namespaces: bool,
    counted: bool = True,
    zygote: bool = False,
    scoped_signals: bool = True,
    machine: str = "",
) -> bytes:
    """The filter for this machine, or for `machine` ("x86_64", "aarch64").

    Args:
        network: whether the host's network is shared.
        namespaces: whether namespaces and mounts confine processes, network, ipc and paths; if not, this filter does.
        counted: whether a cgroup counts memory; if not, memory that shows in no process is refused.
        zygote: whether it is for a zygote, which enters the namespaces of each attempt that it forks.
        scoped_signals: whether something else confines signals.
        machine: as `os.uname` calls it.
    """
    return _made(
        machine=_MACHINES[machine or _MACHINE],
        network=network,
        namespaces=namespaces,
        counted=counted,
        zygote=zygote,
        scoped_signals=scoped_signals,
    )


@functools.cache
def _made(*, machine: str, network: bool, namespaces: bool, counted: bool, zygote: bool, scoped_signals: bool) -> bytes:
    verdicts = {call.name: call.full if namespaces else call.restricted for call in CALLS}
    if network:
        verdicts |= {call: rules[0 if namespaces else 1] for call, rules in WITH_NETWORK.items()}
    if not counted:
        verdicts |= WITHOUT_COUNTED_MEMORY
    if zygote:
        verdicts |= OF_A_ZYGOTE
    if not scoped_signals:
        verdicts |= WITHOUT_SCOPED_SIGNALS
    ends = [(_X32_CALLS, KILL)] if machine == _X86 else []
    return assemble(_ARCHITECTURES[machine], _numbered(verdicts, machine), otherwise=ABSENT, ends=ends)


def _numbered(verdicts: Mapping[str, Rule], machine: str) -> dict[int, Rule]:
    numbers = {call.name: call.x86_64 if machine == _X86 else call.aarch64 for call in CALLS}
    return {number: rule for name, rule in verdicts.items() if (number := numbers[name]) is not None}


@functools.cache
def entering_denied() -> bytes:
    """The filter that denies a warm attempt the calls that its zygote's filter allows for entering namespaces."""
    name = _MACHINES[_MACHINE]
    return assemble(_ARCHITECTURES[name], _numbered(CLOSED_FOR_ATTEMPTS, name))


@functools.cache
def missing() -> str:
    """Why seccomp is not available on this host; empty if it is."""
    if _MACHINE not in _MACHINES:
        return f"no seccomp: no table of system calls for {_MACHINE}"
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail", encoding="ascii") as file:
            available = file.read()
    except OSError:
        return ""  # loading the filter will tell
    return "" if "kill_process" in available else "no seccomp: the kernel's is older than 4.14"


def prepare() -> None:
    """Make every program that an attempt may need, so that processes forked from the caller have them."""
    if not missing():
        for network in (False, True):
            for counted in (False, True):
                program(network=network, namespaces=True, counted=counted)
                program(network=network, namespaces=False, counted=counted, scoped_signals=landlock.scopes_signals())
            program(network=network, namespaces=True, zygote=True)
        entering_denied()


def load(instructions: bytes) -> None:
    """Apply a filter to the caller and everything that it forks, for good. Needs no_new_privs. Raises `OSError`."""
    syscalls.checked(syscalls.filter_call(instructions)(), "seccomp")
