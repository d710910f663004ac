"""The filter: what its program says to every call, run here by a small machine, for both architectures."""

from __future__ import annotations

import errno
import struct

import pytest

from sandbox.kernel import bpf, seccomp
from sandbox.kernel.calls import CALLS, WITHOUT_COUNTED_MEMORY

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003
SOCKET = {"x86_64": 41, "aarch64": 198}
SOCKETPAIR = {"x86_64": 53, "aarch64": 199}
CLONE = {"x86_64": 56, "aarch64": 220}
SETSOCKOPT = {"x86_64": 54, "aarch64": 208}
IOCTL = {"x86_64": 16, "aarch64": 29}
REFUSED = bpf.deny(errno.EPERM)
SET_ID = (0o4755, 0o2755, 0o6000, 0o4000 | 1 << 16, 0o2777 | 1 << 32)


def judge(program, architecture, number, *arguments):
    """What the kernel would answer."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *(0,) * (6 - len(arguments)))
    at = accumulator = 0
    while True:
        code, yes, no, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += yes if accumulator == value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x06:
                return value
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


@pytest.fixture(params=ARCHITECTURES)
def machine(request):
    return request.param


@pytest.fixture
def ask(machine):
    def asked(number, *arguments, network=False, namespaces=True, counted=True):
        program = seccomp.program(network=network, namespaces=namespaces, counted=counted, machine=machine)
        return judge(program, ARCHITECTURES[machine], number, *arguments)

    return asked


@pytest.fixture
def verdict_of(machine):
    """What becomes of a call by its name; `None` where this machine has none of that name."""

    def asked(name, *arguments, namespaces=True, **options):
        number = next(getattr(call, machine) for call in CALLS if call.name == name)
        program = seccomp.program(network=False, namespaces=namespaces, machine=machine, **options)
        return None if number is None else judge(program, ARCHITECTURES[machine], number, *arguments)

    return asked


@pytest.mark.parametrize("network", [False, True])
@pytest.mark.parametrize("namespaces", [False, True])
@pytest.mark.parametrize("counted", [False, True])
def test_every_call_gets_the_verdict_of_the_table(machine, ask, network, namespaces, counted):
    uncounted = {} if counted else WITHOUT_COUNTED_MEMORY
    for call in CALLS:
        number = getattr(call, machine)
        verdict = uncounted.get(call.name, call.full if namespaces else call.restricted)
        if number is not None and isinstance(verdict, int):
            assert ask(number, network=network, namespaces=namespaces, counted=counted) == verdict, call.name


def test_buffers_of_sockets_stay_as_they_were_made_where_no_cgroup_counts_them(machine, ask):
    for size in (7, 8):
        assert ask(SETSOCKOPT[machine], 3, 1, size, counted=False) == bpf.deny(0)
        assert ask(SETSOCKOPT[machine], 3, 1, size) == bpf.ALLOW
    assert ask(SETSOCKOPT[machine], 3, 1, 2, counted=False) == bpf.ALLOW
    assert ask(SETSOCKOPT[machine], 3, 6, 7, counted=False) == bpf.ALLOW


def test_what_is_in_no_row_does_not_exist(machine, ask):
    listed = {getattr(call, machine) for call in CALLS}

    for number in (*range(1000), 100_000, 0x3FFFFFFF):
        if number not in listed:
            assert ask(number) == ask(number, namespaces=False) == bpf.deny(errno.ENOSYS), number


def test_calls_of_other_architectures_kill(machine):
    program = seccomp.program(network=False, namespaces=True, machine=machine)

    for number in range(470):
        assert judge(program, I386, number) == bpf.KILL
    other = next(value for name, value in ARCHITECTURES.items() if name != machine)
    assert judge(program, other, 0) == bpf.KILL


def test_x32_calls_kill():
    program = seccomp.program(network=False, namespaces=True, machine="x86_64")

    for number in (0, 1, 100, 512, 547):
        assert judge(program, ARCHITECTURES["x86_64"], 0x40000000 + number) == bpf.KILL


@pytest.mark.parametrize(
    "flag",
    [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x8000, 0x2000, 0x800000],
)
def test_clone_makes_threads_and_processes_but_no_namespace_and_no_child_of_another(machine, ask, flag):
    assert ask(CLONE[machine], 0x3D0F00) == bpf.ALLOW  # a thread of glibc
    assert ask(CLONE[machine], 0x7D0F00) == bpf.ALLOW  # of musl
    assert ask(CLONE[machine], 0x1200011) == bpf.ALLOW  # its fork
    assert ask(CLONE[machine], 0x1200011 | flag) == bpf.deny(errno.EPERM)


@pytest.mark.parametrize("request_", [0x5412, 0x541C, 0x5402, 0x40086602, 0xC0045877, 0x8901, 0x8902, 0x5452])
def test_only_known_requests_are_made_of_files_and_terminals(machine, ask, request_):
    assert ask(IOCTL[machine], 0, request_) == bpf.deny(errno.ENOTTY)
    assert ask(IOCTL[machine], 0, request_ | 1 << 32) == bpf.deny(errno.ENOTTY)  # the kernel takes the low half
    assert ask(IOCTL[machine], 0, 0x5401) == bpf.ALLOW


@pytest.mark.parametrize(("mode", "verdict"), [(0o777, bpf.ALLOW), *((mode, REFUSED) for mode in SET_ID)])
def test_no_call_sets_the_bits_of_another_identity(machine, verdict_of, mode, verdict):
    for call, before in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("mkdir", 1), ("mkdirat", 2)):
        assert verdict_of(call, *[0] * before, mode) in {verdict, None}
    for call, before in (("mknod", 1), ("mknodat", 2)):
        assert verdict_of(call, *[0] * before, 0o100000 | mode) in {verdict, None}
    for call, before in (("open", 1), ("openat", 2), ("mq_open", 1)):
        for flags in (0o100, 0o20000000, 0o20200002, 0o102 | 1 << 32):
            assert verdict_of(call, *[0] * before, flags, mode) in {verdict, None}
        assert verdict_of(call, *[0] * before, 0, mode) in {bpf.ALLOW, None}  # it means nothing there
    assert verdict_of("openat2", 0, 0, 0) == bpf.deny(errno.ENOSYS)


def test_before_landlock_can_hold_signals_the_filter_does(machine, verdict_of):
    without = {"namespaces": False, "scoped_signals": False}

    assert verdict_of("kill", 0, 9, **without) == bpf.ALLOW
    for pid in (1, 4711, 0xFFFFFFFF):
        assert verdict_of("kill", pid, 9, **without) == REFUSED
        assert verdict_of("kill", pid, 9, namespaces=False) == bpf.ALLOW
    for call in ("tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"):
        assert verdict_of(call, 0, 0, 9, **without) == REFUSED


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "verdict"),
    [
        (1, 1, 0, None),  # unix
        (1, 2 | 0o2000000, 0, None),
        (2, 1 | 0o2004000, 0, None),  # tcp
        (10, 1, 6, None),
        (2, 2, 17, None),  # udp
        (2, 1, 262, errno.EPROTONOSUPPORT),  # mptcp
        (2, 1, 132, errno.EPROTONOSUPPORT),  # sctp
        (2, 5, 0, errno.EPROTONOSUPPORT),
        (2, 6, 33, errno.EPROTONOSUPPORT),  # dccp
        (2, 2, 1, errno.EPROTONOSUPPORT),  # ping
        (2, 2, 136, errno.EPROTONOSUPPORT),  # udp-lite
        (10, 3, 58, errno.EPROTONOSUPPORT),  # raw
        (16, 3, 0, errno.EAFNOSUPPORT),  # netlink
        (17, 3, 0, errno.EAFNOSUPPORT),  # packet
        (38, 5, 0, errno.EAFNOSUPPORT),  # alg
        (40, 1, 0, errno.EAFNOSUPPORT),  # vsock
        (44, 3, 0, errno.EAFNOSUPPORT),  # xdp
        (0xFFFFFFFF, 1, 0, errno.EAFNOSUPPORT),
    ],
)
def test_sockets_are_local_tcp_or_udp(machine, ask, family, kind, protocol, verdict):
    expected = bpf.ALLOW if verdict is None else bpf.deny(verdict)
    assert ask(SOCKET[machine], family, kind, protocol) == expected


def test_with_the_hosts_network_the_resolver_may_ask_for_addresses_and_nothing_else(machine, ask):
    assert ask(SOCKET[machine], 16, 3, 0, network=True) == bpf.ALLOW
    for protocol in (6, 9, 11, 12, 15, 16, 21):
        assert ask(SOCKET[machine], 16, 3, protocol, network=True) == bpf.deny(errno.EPROTONOSUPPORT)
    assert ask(SOCKET[machine], 40, 1, 0, network=True) == bpf.deny(errno.EAFNOSUPPORT)


def test_without_namespaces_no_socket_reaches_anything(machine, ask):
    for family in (2, 10):
        assert ask(SOCKET[machine], family, 1, 0, namespaces=False) == bpf.deny(errno.EACCES)
        assert ask(SOCKET[machine], family, 1, 0, namespaces=False, network=True) == bpf.ALLOW
    assert ask(SOCKET[machine], 1, 1, 0, namespaces=False) == bpf.deny(errno.EAFNOSUPPORT)
    assert ask(SOCKET[machine], 1, 1, 0, namespaces=False, network=True) == bpf.deny(errno.EAFNOSUPPORT)
    assert ask(SOCKETPAIR[machine], 1, 1, 0, namespaces=False) == bpf.ALLOW  # an event loop wakes itself by one
    for kind in (2, 3, 2 | 0o2000000):
        assert ask(SOCKETPAIR[machine], 1, kind, 0, namespaces=False) == bpf.deny(errno.EPROTONOSUPPORT)
