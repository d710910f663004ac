"""Values that go through JSON and back, exactly; everything else is refused, naming where in the value it sits.

`json` alone is not strict: it writes NaN, turns keys into text and lone surrogates into bytes that nobody can read.
Checking each element in Python would be slow. So `dumps` asks, container by container, only for the *set* of types
inside, which runs at the speed of C; a value of plain types only goes straight to the encoder. Anything else takes the
second way, which looks at every element and either makes it plain (a subclass of dict, an enum's base) or says what is
wrong with it and where. Depth and the number of elements are bounded on both ways, so that neither a cycle nor a list
that contains one list a million times can take the process down.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

#: How many containers may stand inside each other.
MAX_DEPTH = 100

_LEAVES = frozenset({str, int, float, bool, type(None)})
_PLAIN = _LEAVES | {dict, list, tuple}
_TEXT = {str}

#: What to do with what is not JSON, by the name of its type.
_FIXES = {
    "datetime": "pass it as text: value.isoformat()",
    "date": "pass it as text: value.isoformat()",
    "time": "pass it as text: value.isoformat()",
    "timedelta": "pass it as a number: value.total_seconds()",
    "set": "pass it as a list: sorted(value)",
    "frozenset": "pass it as a list: sorted(value)",
    "bytes": "pass it as text: base64.b64encode(value).decode()",
    "bytearray": "pass it as text: base64.b64encode(value).decode()",
    "Decimal": "pass it as text: str(value)",
    "Fraction": "pass it as text: str(value)",
    "UUID": "pass it as text: str(value)",
    "PosixPath": "pass it as text: str(value)",
    "generator": "pass it as a list: list(value)",
    "coroutine": "it was not awaited: await value",
    "Handle": "pass its id: value.id",
}
_NO_FIX = ", which is not JSON; pass text, a number, true, false, null, a list or a dict"


def dumps(value: object, name: str, *, limit_bytes: int, must_be_object: bool = False) -> str:
    """`value` as JSON text of at most `limit_bytes` bytes in UTF-8. Tuples become arrays.

    Raises:
        ValueError: what JSON cannot carry exactly; the message begins with the place, as seen from `name`.
    """
    if must_be_object and not isinstance(value, dict):
        raise ValueError(f"{name} must be an object (a dict), not {_describe(value)}{_fix(value)}")
    text = _encode_plain(value, limit_bytes)
    if text is None:
        try:
            text = _encode(_Walk(name, limit_bytes).plain(value))
        except RecursionError:
            raise ValueError(f"{name} is nested too deeply for the room left on the stack") from None
    if len(text) > limit_bytes or (not text.isascii() and len(text.encode()) > limit_bytes):
        raise too_large(name, limit_bytes)
    return text


def loads(text: str | bytes, name: str = "value") -> Any:
    """The value of JSON text; whole numbers stay exact, up to 4300 digits.

    Raises:
        ValueError: not JSON in UTF-8; NaN, Infinity or a number out of range; a lone surrogate; depth over 100.
    """
    text, value = _read(text, name)
    # Only escapes bring lone surrogates past what was checked, and only more brackets than this bring depth.
    suspect = "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH
    if suspect and _encode_plain(value, len(text)) is None:
        _Walk(name, len(text)).plain(value)
    return value


def loads_shallow(text: bytes, name: str = "value") -> Any:
    """As `loads`, of what is known to be nested no deeper than it may be."""
    decoded, value = _read(text, name)
    if "\\u" in decoded and _encode_plain(value, len(decoded)) is None:
        _Walk(name, len(decoded)).plain(value)
    return value


def _read(text: str | bytes, name: str) -> tuple[str, Any]:
    try:
        text = text if isinstance(text, str) else text.decode()
        if not text.isascii():
            text.encode()
        return text, decode(text)
    except UnicodeError as error:
        raise ValueError(f"{name} is not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name} holds a number out of range: {error}") from None
    except RecursionError:
        raise ValueError(f"{name} is nested deeper than {MAX_DEPTH}") from None


def _encode_plain(value: object, limit: int) -> str | None:
    """The text of a value that is made of plain types only, or `None` where the exact look is needed."""
    if type(value) not in _PLAIN:
        return None
    level: list[Any] = [] if type(value) in _LEAVES else [value]
    left, depth = limit, 0
    while level:
        depth += 1
        below: list[Any] = []
        for container in level:
            # An element takes more than one byte: more elements than bytes is too large, however often one is repeated.
            left -= len(container)
            if left < 0 or depth > MAX_DEPTH:
                return None
            inside: Iterable[Any] = container
            if type(container) is dict:
                if container and set(map(type, container)) != _TEXT:
                    return None
                inside = container.values()
            kinds = set(map(type, inside))
            if not kinds <= _LEAVES:
                if not kinds <= _PLAIN:
                    return None
                below += [element for element in inside if type(element) not in _LEAVES]
        level = below
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except ValueError:  # NaN, a number of too many digits, a lone surrogate
        return None
    return text


class _Walk:
    """The exact look at one value: the same value in plain types, or an error that names the place."""

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit, self.left = name, limit, limit
        self.steps: list[int | str] = []  # from the outermost container to where the walk is
        self.open: list[int] = []  # ids of the containers on that way

    def plain(self, value: Any) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, dict | list | tuple) and not hasattr(type(value), "_fields"):
            return self.container(value)
        if hasattr(type(value), "__members__"):
            self.refuse(value)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int):
            return self.whole(int.__int__(value))
        if isinstance(value, float):
            number = float.__float__(value)
            if number - number != 0:
                raise ValueError(f"{self.place()} is {number}, which JSON cannot carry; pass null or text")
            return number
        return self.refuse(value)

    def container(self, value: Any) -> Any:
        if id(value) in self.open:
            raise ValueError(f"{self.place()} contains itself; JSON has no references")
        if len(self.open) == MAX_DEPTH:
            raise ValueError(f"{self.place()} is nested deeper than {MAX_DEPTH}")
        self.left -= len(value)
        if self.left < 0:
            raise too_large(self.name, self.limit)
        self.open.append(id(value))
        result: Any
        if isinstance(value, dict):
            result = {self.key(key): self.inside(key, element) for key, element in dict.items(value)}
        else:
            kind = list if isinstance(value, list) else tuple
            result = [self.inside(index, element) for index, element in enumerate(kind.__iter__(value))]
        self.open.pop()
        return result

    def inside(self, step: Any, element: Any) -> Any:
        self.steps.append(step)
        plain = self.plain(element)
        self.steps.pop()
        return plain

    def key(self, key: Any) -> str:
        if not isinstance(key, str) or hasattr(type(key), "__members__"):
            raise ValueError(f"{self.place()} has a key that is {_describe(key)}; JSON keys are text: str(key)")
        return self.text(key, "has a key that")

    def text(self, value: str, verb: str = "") -> str:
        value = str.__str__(value)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            found = f"{value[error.start]!a} at position {error.start}, half a character (a lone surrogate)"
            raise ValueError(f"{self.place()} {verb + ' ' if verb else ''}has {found}") from None
        return value

    def whole(self, value: int) -> int:
        try:
            int.__repr__(value)
        except ValueError:
            digits = int(value.bit_length() * 0.30103) + 1
            raise ValueError(
                f"{self.place()} has about {digits} digits, and 4300 are allowed; pass it as text: hex(value)"
            ) from None
        return value

    def refuse(self, value: object) -> NoReturn:
        raise ValueError(f"{self.place()} is {_describe(value)}{_fix(value) or _NO_FIX}")

    def place(self) -> str:
        steps = [f"[{_shown(step)}]" for step in self.steps[:10]]
        return self.name + "".join(steps) + ("…" if len(self.steps) > 10 else "")


def _shown(step: int | str) -> str:
    return str(step) if isinstance(step, int) else json.dumps(step if len(step) <= 60 else step[:60] + "...")


def _describe(value: object) -> str:
    if value is None:
        return "null"
    if hasattr(type(value), "__members__"):
        return f"a member of the enum {type(value).__name__}"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _fix(value: object) -> str:
    kind = type(value)
    fix = _FIXES.get(kind.__name__)
    if hasattr(kind, "__members__"):
        fix = "pass its value: value.value"
    elif hasattr(kind, "__dataclass_fields__"):
        fix = "pass a dict: dataclasses.asdict(value)"
    elif hasattr(kind, "model_dump"):
        fix = 'pass a dict: value.model_dump(mode="json")'
    elif hasattr(kind, "_asdict"):
        fix = "pass a dict, value._asdict(), or a list, list(value)"
    elif hasattr(kind, "tolist"):
        fix = "pass a list: value.tolist()" if getattr(value, "ndim", 1) else "pass a plain number: value.item()"
    return f"; {fix}" if fix else ""


def too_large(name: str, limit: int) -> ValueError:
    """The error that `dumps` raises for what takes more than `limit` bytes."""
    return ValueError(
        f"{name} takes more than {limit} bytes as JSON, the limit; keep large data elsewhere and pass its place"
    )


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(digits[:40])
    return number


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
decode = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant).decode
