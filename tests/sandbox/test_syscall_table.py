"""The table of system calls: whole, without doubles, as the headers of this machine have it, and as it is written."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import sandbox
from sandbox.kernel.calls import (
    CALLS,
    CLOSED_FOR_ATTEMPTS,
    OF_A_ZYGOTE,
    WITH_NETWORK,
    WITHOUT_COUNTED_MEMORY,
    WITHOUT_SCOPED_SIGNALS,
)
from sandbox.kernel.calls.document import document

LAST = 469
#: Numbers that no call has: reserved, or of other architectures.
UNUSED = {"x86_64": {*range(337, 424)}, "aarch64": {*range(244, 260), *range(295, 424)}}
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", ""),
    "aarch64": ("/usr/include/asm-generic/unistd.h", "-D__BITS_PER_LONG=64"),
}
#: What an architecture says of itself before it includes the generic header.
WANTED = ("RENAMEAT", "NEW_STAT", "SET_GET_RLIMIT", "TIME32_SYSCALLS", "MEMFD_SECRET", "SYS_CLONE3")
NO_CALLS = {"syscalls", "arch_specific_syscall", "sync_file_range2"}


@pytest.mark.parametrize("machine", UNUSED)
def test_every_number_up_to_the_last_known_has_one_row(machine):
    numbers = [number for call in CALLS if (number := getattr(call, machine)) is not None]

    assert set(numbers) == set(range(LAST + 1)) - UNUSED[machine]
    assert max(Counter(numbers).values()) == 1
    assert max(Counter(call.name for call in CALLS).values()) == 1


def test_from_424_on_numbers_are_the_same_everywhere():
    assert all(call.x86_64 == call.aarch64 for call in CALLS if max(call.x86_64 or 0, call.aarch64 or 0) >= 424)


def test_every_row_says_why():
    assert all(call.why for call in CALLS)


def test_what_is_excepted_is_in_the_table():
    names = {call.name for call in CALLS}

    assert {
        *WITH_NETWORK,
        *OF_A_ZYGOTE,
        *CLOSED_FOR_ATTEMPTS,
        *WITHOUT_COUNTED_MEMORY,
        *WITHOUT_SCOPED_SIGNALS,
    } <= names
    assert OF_A_ZYGOTE.keys() == CLOSED_FOR_ATTEMPTS.keys()


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_those_of_the_headers(machine):
    path, bits = HEADERS[machine]
    try:
        defines = [f"-D__ARCH_WANT_{name}" for name in WANTED]
        command = ["cpp", "-dM", *filter(None, [bits]), *defines, path]
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no headers of the kernel, or no preprocessor: {error}")
    table = {call.name: getattr(call, machine) for call in CALLS}
    values = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)$", text, re.MULTILINE))
    headers = {re.sub("^fstatat$", "newfstatat", name): int(value) for name, value in values.items()}
    for name in NO_CALLS | {"compat_syscalls"}:
        headers.pop(name, None)

    assert len(headers) > 300
    assert {name: table.get(name) for name in headers} == headers


def test_it_is_written_up_as_it_is():
    written = Path(sandbox.__file__).parent / "SYSCALLS.md"

    assert written.read_text() == document(), "python -m sandbox.kernel.calls.document > sandbox/SYSCALLS.md"
