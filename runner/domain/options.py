"""The options of a task: what a decorator, a manifest or the config may say of one, and what comes of it.

Options come in layers, each over the one before: the config's `[defaults]`, the task's own, the config's
`[tasks.NAME]`. `read_options` checks one layer by itself, so that an error names the layer that it stands in;
`merge_options` joins them.

Layers are plain mappings as written, durations and sizes as text. What Python says with `None`, TOML says with "none"
(and "" for a queue).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NewType
from zoneinfo import ZoneInfo, available_timezones

from runner.domain import checks, cron
from runner.domain.checks import known_keys, nearest, number, one_of, priority, shown, tags, text, whole
from runner.domain.retry import Retry
from runner.errors import InvalidOptionError
from runner.units import seconds, size_bytes
from sandbox import endpoint

#: One checked layer: attributes of `TaskOptions` to values, `retry` still as the mapping that was written.
Layer = NewType("Layer", Mapping[str, Any])

_NONE = (None, "none")
_RETRY_KEYS = tuple(key.name for key in fields(Retry))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What holds for each run of a task unless the run says otherwise."""

    description: str | None = None
    queue: str | None = None
    timeout_s: float = 300.0  # `float("inf")` for none
    memory_bytes: int = 512 << 20
    cpus: float | None = None  # share of cores, `None` for no limit
    processes: int = 256
    disk_bytes: int = 256 << 20
    network: bool | tuple[str, ...] = False  # `True` for the host's, or "host:port" of each that may be reached
    secrets: tuple[str, ...] = ()  # names; where their values are is the config's
    retry: Retry = field(default_factory=Retry)
    every_s: float | None = None
    cron: str | None = None  # a line that `runner.domain.cron.parse` takes
    timezone: str = "UTC"  # in which `cron` is read
    overlap: str = "skip"  # what a firing does while the task's last scheduled run is not final: "skip" or "allow"
    catch_up: str = "one"  # what becomes of firings that were missed while nobody ran: "one", "all" or "none"
    expires_s: float | None = None  # from the due time to the first start
    priority: int = 0
    tags: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """Itself as JSON, as it could be written in the config; `read_options` reads it back."""
        return {
            "description": self.description,
            "queue": self.queue,
            "timeout": "none" if self.timeout_s == float("inf") else _written_duration(self.timeout_s),
            "memory": _written_size(self.memory_bytes),
            "cpus": self.cpus,
            "processes": self.processes,
            "disk": _written_size(self.disk_bytes),
            "network": self.network if isinstance(self.network, bool) else list(self.network),
            "secrets": list(self.secrets),
            "retry": self.retry.document(),
            "every": None if self.every_s is None else _written_duration(self.every_s),
            "cron": self.cron,
            "timezone": self.timezone,
            "overlap": self.overlap,
            "catch_up": self.catch_up,
            "expires": None if self.expires_s is None else _written_duration(self.expires_s),
            "priority": self.priority,
            "tags": list(self.tags),
        }

    def written(self, option: str) -> object:
        """One option as it could be written in the config."""
        value = self.document()[option]
        return "none" if value is None else value


def read_options(raw: Mapping[str, Any], where: str = "") -> Layer:
    """Check one layer; `where` is put before each option's name in errors, such as `tasks."billing.invoice".`.

    Raises:
        InvalidOptionError: an unknown option, a wrong type or range, or both `every` and `cron`.
    """
    known_keys(raw, TASK_OPTIONS, where, "task option")
    layer = {}
    for key, value in raw.items():
        attribute, read = TASK_OPTIONS[key]
        layer[attribute] = read(value, where + key)
    if layer.get("every_s") is not None and layer.get("cron") is not None:
        raise InvalidOptionError(f"{where}every and {where}cron exclude each other: give one")
    return Layer(layer)


def merge_options(*layers: Layer) -> TaskOptions:
    """The options that checked layers come to, later ones over earlier ones. `retry` is joined key by key."""
    merged: dict[str, Any] = {}
    retry: dict[str, Any] = {}
    for layer in layers:
        # A layer that sets one kind of schedule replaces the other kind below it.
        for kind, other in (("every_s", "cron"), ("cron", "every_s")):
            if layer.get(kind) is not None:
                merged.pop(other, None)
        retry |= layer.get("retry", {})
        merged |= layer
    return TaskOptions(**merged | {"retry": Retry(**retry)})


def _written_duration(length_s: float) -> str:
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if length_s % size_s == 0 and length_s:
            return f"{round(length_s / size_s)}{unit}"
    return f"{length_s * 1000:.3f}".rstrip("0").rstrip(".") + "ms"


def _written_size(size: int) -> str:
    for unit, shift in (("GB", 30), ("MB", 20), ("KB", 10)):
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return f"{size}B"


def _unless_none(read: Callable[[Any, str], Any], none: object = None) -> Callable[[Any, str], Any]:
    return lambda value, name: none if value in _NONE else read(value, name)


def _duration(shortest_s: float) -> Callable[[Any, str], float]:
    def read(value: Any, name: str) -> float:
        length = seconds(value, name)
        if length < shortest_s:
            raise InvalidOptionError(f"{name} must be at least {shortest_s:g}s: got {shown(value)}")
        return length

    return read


def _size(smallest: str) -> Callable[[Any, str], int]:
    def read(value: Any, name: str) -> int:
        size = size_bytes(value, name)
        if size < size_bytes(smallest, name):
            raise InvalidOptionError(f"{name} must be at least {smallest}: got {shown(value)}")
        return size

    return read


def _queue(value: Any, name: str) -> str | None:
    return None if value in (None, "") else checks.queue(value, name)


def _cron(value: Any, name: str) -> str:
    line = text(value, name, 1000)
    cron.parse(line, name)
    return line


def _network(value: Any, name: str) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple):
        raise InvalidOptionError(
            f'{name} must be true, false or a list such as ["smtp.example.com:587"]: got {shown(value)}'
        )
    try:
        return tuple(str(each) for each in endpoint.parse_all(tuple(value))) or False
    except ValueError as error:
        raise InvalidOptionError(f"{name}{error}") from None


def _timezone(value: Any, name: str) -> str:
    zone = text(value, name, 100)
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        hint = nearest(zone, available_timezones())
        raise InvalidOptionError(f'{name} must be a time zone such as "Europe/Oslo": got {shown(zone)}{hint}') from None
    return zone


def _retry(value: Any, name: str) -> Mapping[str, Any]:
    if isinstance(value, Retry):
        return value.document()
    if not isinstance(value, Mapping):
        raise InvalidOptionError(f"{name} must be a table such as {{attempts = 3}}: got {shown(value)}")
    known_keys(value, _RETRY_KEYS, name + ".", "key of a retry policy")
    written = dict(value)
    if written.get("attempts") == "none":
        written["attempts"] = None
    try:
        Retry(**written)
    except InvalidOptionError as error:
        # `Retry` names its fields "retry.…"; here stands which retry it is.
        raise InvalidOptionError(name.removesuffix("retry") + str(error)) from None
    return written


#: The options there are: what each is called in `TaskOptions`, and how it is read.
TASK_OPTIONS: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "description": ("description", _unless_none(lambda value, name: text(value, name, 10_000))),
    "queue": ("queue", _queue),
    "timeout": ("timeout_s", _unless_none(_duration(0.01), float("inf"))),
    "memory": ("memory_bytes", _size("16MB")),
    "cpus": ("cpus", _unless_none(lambda value, name: number(value, name, 0.01, 1024))),
    "processes": ("processes", lambda value, name: whole(value, name, 1, 32_768)),
    "disk": ("disk_bytes", _size("1MB")),
    "network": ("network", _network),
    "secrets": ("secrets", checks.secrets),
    "retry": ("retry", _retry),
    "every": ("every_s", _unless_none(_duration(1))),
    "cron": ("cron", _unless_none(_cron)),
    "timezone": ("timezone", _timezone),
    "overlap": ("overlap", lambda value, name: one_of(value, name, ("allow", "skip"))),
    "catch_up": ("catch_up", lambda value, name: one_of(value, name, ("one", "all", "none"))),
    "expires": ("expires_s", _unless_none(_duration(0.001))),
    "priority": ("priority", priority),
    "tags": ("tags", tags),
}
