"""What a hostile process might say on its channel: JSON that is almost right, frames that are almost frames.

`Raw` is text that no encoder would write; everything else is written by `text_of`. Most of it are honest messages with
one or two places out of their minds: they get further than noise does.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: How many times as many cases as in the test suite; `make fuzz` sets it.
SCALE = int(os.environ.get("FUZZ_SCALE", "1"))


def fuzzed(cases: int) -> settings:
    """The settings of a test that tries this many cases in the suite."""
    unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=cases * SCALE, deadline=None, suppress_health_check=unhurried, print_blob=True)


@dataclass(frozen=True)
class Raw:
    """Written as it is."""

    text: bytes

    def __repr__(self) -> str:
        return f"Raw({self.text[:40]!r}, {len(self.text)} bytes)"


class Said(bytes):
    """Bytes of which only the beginning is printed."""

    def __repr__(self) -> str:
        return f"Said({bytes(self[:200])!r}, {len(self)} bytes)"


def text_of(value: Any) -> bytes:
    """JSON, or what looks like it."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return b"{" + b",".join(text_of(key) + b":" + text_of(inner) for key, inner in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(text_of, value)) + b"]"
    return json.dumps(value).encode()


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def nested(depth: int) -> Raw:
    return Raw(b"[" * depth + b"]" * depth)


#: JSON that is seldom thought of, but JSON.
_ODD = [
    *(Raw(text) for text in (b"1e-400", b"-0", b"-0.0", b"1e15", b"1e308", b'{"a":1,"a":2}')),
    *(Raw(sign + b"9" * digits) for sign in (b"", b"-") for digits in (10, 19, 20, 309, 4300)),
    *(Raw(b'"' + text + b'"') for text in (b"", rb"\u0000", rb"\ud83d\ude00", rb"\n", b"1h", b"1e9d", b"*", b"../..")),
    *(Raw(b'"' + text * 5000 + b'"') for text in (b"x", rb"\n", "å".encode(), rb"\u2028", b"{", b"[", b"a.")),
    *map(nested, (90, 99, 101, 150, 190)),
    Raw(b"[" + b"{}," * 5000 + b"{}]"),
    *(Raw(text) for text in (b"[]", b"{}", b"[[]]", b'{"":{}}')),
    *(None, True, False, -1, 0, 1, 2, 0.5),
]
#: What is none, or nested so deeply that nobody means it.
_NONE = [
    *(Raw(text) for text in (b"1e400", b"-1e400", b"NaN", b"Infinity", b"-Infinity", b"truth", b"", b'{"a"', b"01")),
    *(Raw(b'"' + text + b'"') for text in (rb"\ud800", rb"\udfff\ud800", b"\xff", b"\n", rb"\x")),
    *(Raw(b"9" * digits) for digits in (4301, 100_000)),
    *map(nested, (198, 201, 900, 1100, 100_000)),
]
odd = st.sampled_from(_ODD)
none = st.sampled_from(_NONE)
texts = st.text(max_size=12)
values = st.recursive(
    odd | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
documents = (values | none).map(text_of).map(Said)

NOBODY = "00000000-0000-7000-8000-000000000000"
_OPTIONS: dict[str, list[Any]] = {
    "parameters": [{}, {"a": [1]}],
    "id": [NOBODY],
    "at": ["2100-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00"],
    "after": [0, 1e9, "1d", 1e300],
    "queue": ["q"],
    "priority": [1],
    "idempotency_key": ["k"],
    "expires": ["1d"],
    "tags": [["t"]],
    "retry": [{"attempts": 1, "first": "1s", "max": "1s", "factor": 2, "jitter": 0, "on": ["error"], "lost": 1}],
    "timeout": ["1s", "none"],
    "with_success": [False, True],
}


def _call(method: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "call", "id": 1, "method": method, "arguments": arguments}


CALLS = [
    _call("show", run=NOBODY),
    _call("wait", run=NOBODY, timeout=0.001),
    _call("wait", run=NOBODY, timeout=None),
    _call("schedule", runs=[{"task": "speak"}, {"task": "nobody"}]),
    *(_call("schedule", runs=[{"task": "speak", key: good}]) for key, several in _OPTIONS.items() for good in several),
]
_DECLARED = {
    "name": "speak",
    "module": "speak",
    "function": "run",
    "arguments": 1,
    "schema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}, "required": ["a"]},
    "description": "x",
    "options": {"queue": "q", "timeout": "1s", "memory": "64MB", "cron": "0 7 * * 1", "tags": ["t"], "on": ["error"]},
}
MANIFESTS = [{"type": "manifest", "tasks": [_DECLARED]}, {"type": "manifest", "tasks": [_DECLARED, _DECLARED]}]
MESSAGES = [
    {"type": "log", "level": "INFO", "message": "a\nb", "at": 0, "logger": "x"},
    {"type": "progress", "fraction": 0.5, "text": "half"},
    {"type": "progress", "fraction": 7, "text": None},
    {"type": "response", "result": {"a": [1]}},
    {"type": "response", "error": {"type": "ValueError", "message": "no", "traceback": ""}},
    {"type": "start", "module": "speak"},
    {"type": "reply", "id": 1, "result": None},
    *MANIFESTS,
]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in it: a container, and a key or an index."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


@st.composite
def mutants(draw: Any, honest: list[dict[str, Any]]) -> Any:
    """One of these messages, with up to two places out of their minds."""
    message = copy.deepcopy(draw(st.sampled_from(honest)))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        container, key = draw(st.sampled_from(list(_places(message)) or [({}, "")]))
        if draw(st.integers(0, 9)) == 0:
            del container[key]
        else:
            container[key] = draw(odd | odd | values | none)
    return message


bodies = st.one_of(mutants(MESSAGES), mutants(CALLS), mutants(MESSAGES + CALLS), values).map(text_of).map(Said)
frames = st.one_of(
    bodies.map(framed),
    bodies.map(framed),
    bodies.map(framed),
    st.builds(lambda body, by: max(0, len(body) + by).to_bytes(4, "big") + body, bodies, st.integers(-9, 9)),
    st.sampled_from([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x01\x00\x00\x01", b"\x00\xff\xff\xff{", b"\x00\x00"]),
    st.binary(max_size=12),
)


@dataclass(frozen=True)
class Speech:
    """What a process does with its channel: what it writes, in which pieces, and then."""

    pieces: tuple[bytes, ...]
    ending: str  # "dies", "closes" its channel only, "lingers"


@st.composite
def speeches(draw: Any) -> Speech:
    """Frames in any order, cut anywhere, perhaps ending amid one, perhaps many times over."""
    stream = b"".join(draw(st.lists(frames, max_size=5))) * draw(st.sampled_from([1, 1, 1, 1, 1, 2, 50]))
    stream = stream[: draw(st.one_of(st.just(len(stream)), st.integers(0, len(stream))))]
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    pieces = tuple(Said(stream[begin:end]) for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True))
    return Speech(pieces, draw(st.sampled_from(["dies"] * 38 + ["closes", "lingers"])))
