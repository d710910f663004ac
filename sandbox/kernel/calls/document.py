"""The table of system calls as Markdown: `python -m sandbox.kernel.calls.document > sandbox/SYSCALLS.md`."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.kernel.bpf import Checks, Rule
from sandbox.kernel.calls import OF_A_ZYGOTE, THEMES, WITH_NETWORK, WITHOUT_COUNTED_MEMORY, WITHOUT_SCOPED_SIGNALS
from sandbox.kernel.calls.call import ABSENT, ALLOWED, DENIED, NONE_LEFT, UNSUPPORTED, Call

_ANSWERS = {ALLOWED: "yes", DENIED: "EPERM", ABSENT: "ENOSYS", UNSUPPORTED: "EOPNOTSUPP", NONE_LEFT: "EMFILE"}

_HEAD = """\
# System calls

What the filter says to each call of Linux 6.18, written from `sandbox/kernel/calls/` by
`python -m sandbox.kernel.calls.document`. A number that is not here fails with ENOSYS, those of i386 and x32 kill.

**yes**: allowed. **An error**: what the call fails with. **by argument**: some values are refused, as `why` says;
`calls/arguments.py` lists them. Where there are two answers, the first is for level full, the second for restricted.
"""
_FOOT = """
## Exceptions

- {network} is another where the host's network is shared: it allows what the resolver asks (netlink), and at restricted
  TCP and UDP.
- {memory} do not exist where no cgroup counts memory; of `setsockopt` it is the sizes of buffers that have no effect.
- {zygote} is allowed in a zygote, which enters the inits of its attempts; they are denied it.
- {signals} are denied at restricted before Landlock 6, but for `kill` of the caller's own process group (pid 0).
"""


def document() -> str:
    """The whole text of `SYSCALLS.md`."""
    foot = _FOOT.format(
        network=_named(WITH_NETWORK),
        zygote=_named(OF_A_ZYGOTE),
        memory=_named(WITHOUT_COUNTED_MEMORY),
        signals=_named(WITHOUT_SCOPED_SIGNALS),
    )
    return "\n".join([_HEAD, *_sections()]) + foot


def _sections() -> Iterator[str]:
    for theme, calls in THEMES.items():
        yield f"## {theme}\n"
        yield "| call | x86_64 | aarch64 | | why |"
        yield "| --- | --- | --- | --- | --- |"
        yield from map(_row, calls)
        yield ""


def _row(call: Call) -> str:
    numbers = ("" if number is None else str(number) for number in (call.x86_64, call.aarch64))
    answers = dict.fromkeys((_answer(call.full), _answer(call.restricted)))
    if len(answers) == 1 and call.full != call.restricted:
        return f"| `{call.name}` | {' | '.join(numbers)} | by argument, two lists | {call.why} |"
    return f"| `{call.name}` | {' | '.join(numbers)} | {', '.join(answers)} | {call.why} |"


def _answer(rule: Rule) -> str:
    if isinstance(rule, Checks):
        return "by argument"
    return _ANSWERS[rule]


def _named(calls: dict[str, Rule] | dict[str, tuple[Rule, Rule]]) -> str:
    return ", ".join(f"`{name}`" for name in calls)


if __name__ == "__main__":
    print(document(), end="")
