"""A small assembler for the classic BPF that seccomp runs: from a table of rules to the bytes that the kernel loads.

The program checks the architecture first, then finds the system call's number by a binary search over ranges: the
kernel runs a new filter once on every number, and a search of eight steps keeps that short. If a rule depends on
arguments, its leaf of the tree is a list of checks instead of a verdict. Arguments are compared by their low 32 bits,
which is all that the kernel uses of those that are checked here (of mmap's flags, all that is refused); of a pointer
the upper half is compared as well.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALLOW = 0x7FFF0000
KILL = 0x80000000
_ERRNO = 0x00050000

_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06
#: What a conditional jump can leap over; `_JUMP` has 32 bits.
_FARTHEST = 255
#: Offsets in `struct seccomp_data`.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16


def deny(errno: int) -> int:
    """The verdict that makes a call fail."""
    return _ERRNO | errno


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of an argument, and what follows if it matches.

    Attributes:
        argument: which, from 0.
        values: what it is compared with.
        then: the rule if it equals one of them.
        mask: which of its bits are compared.
        unless: inverts the comparison: `then` follows if it equals none of them.
        high: compares the argument's upper 32 bits instead of the lower, as of a pointer.
    """

    argument: int
    values: tuple[int, ...]
    then: Rule
    mask: int = 0xFFFFFFFF
    unless: bool = False
    high: bool = False


@dataclass(frozen=True, slots=True)
class Checks:
    """Comparisons that are made in order, and the verdict if none matches."""

    checks: tuple[Check, ...]
    otherwise: int = ALLOW


Rule = int | Checks


def assemble(
    architecture: int, rules: Mapping[int, Rule], otherwise: int = ALLOW, ends: Sequence[tuple[int, int]] = ()
) -> bytes:
    """The program.

    Args:
        architecture: `AUDIT_ARCH_…` of the calls that the numbers mean; calls of any other kill.
        rules: by number of the call.
        otherwise: for all other numbers.
        ends: (first number, verdict) for what lies beyond all rules, ascending.
    """
    ranges: list[tuple[int, Rule]] = [(0, otherwise)]  # (first number, rule); each ends where the next begins
    for number in sorted(rules):
        if ranges[-1][0] == number:
            ranges.pop()
        ranges += [(number, rules[number]), (number + 1, otherwise)]
    ranges += ends
    merged = [ranges[0]]
    for first, rule in ranges[1:]:
        if rule != merged[-1][1]:
            merged.append((first, rule))
    head = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_JUMP_EQUAL, architecture, yes=1),
        _instruction(_RETURN, KILL),
        _instruction(_LOAD, _NUMBER),
    ]
    return b"".join(head + _search(merged))


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)  # a jump too far does not fit in its byte, and raises


def _search(ranges: Sequence[tuple[int, Rule]]) -> list[bytes]:
    if len(ranges) == 1:
        return _leaf(ranges[0][1])
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    return [*_jump_at_least(ranges[middle][0], len(below)), *below, *above]


def _jump_at_least(value: int, over: int) -> list[bytes]:
    if over <= _FARTHEST:
        return [_instruction(_JUMP_AT_LEAST, value, yes=over)]
    return [_instruction(_JUMP_AT_LEAST, value, no=1), _instruction(_JUMP, over)]


def _leaf(rule: Rule) -> list[bytes]:
    if isinstance(rule, int):
        return [_instruction(_RETURN, rule)]
    code = []
    for check in rule.checks:
        code += [_instruction(_LOAD, _ARGUMENTS + 8 * check.argument + 4 * check.high), _instruction(_AND, check.mask)]
        hit = _leaf(check.then)
        for left in range(len(check.values) - 1, -1, -1):  # how many comparisons follow, before what a hit does
            value = check.values[len(check.values) - 1 - left]
            if check.unless:
                code.append(_instruction(_JUMP_EQUAL, value, yes=left + len(hit)))
            else:
                code.append(_instruction(_JUMP_EQUAL, value, yes=left, no=0 if left else len(hit)))
        code += hit
    return [*code, _instruction(_RETURN, rule.otherwise)]
