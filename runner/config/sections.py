"""The sections of `isolane.toml`: their keys, defaults and ranges. Values are held parsed, in the units they name.

A key that the file calls `memory` and that is held as `memory_bytes` has the former as its alias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, field_validator, model_validator

from runner.config import machine, readers
from runner.domain.checks import flag, known_keys, shown, text
from runner.domain.names import check_queue, check_secret, check_task
from runner.domain.options.kinds import Kind, Reader, duration, optional, size, whole, word
from runner.domain.options.queue_rule import QueueRule, read_queue_rule
from runner.domain.options.table import TASK_OPTIONS
from runner.domain.options.task_options import Layer, read_options
from runner.errors import InvalidOptionError
from runner.store.records import StoreLimits
from sandbox.spec import Level

_MOST_PACKAGES = 50
_STORE_LIMITS = StoreLimits()


def _read(read: Reader) -> BeforeValidator:
    """What this reads at a key. `runner.config.loading` puts the key's path before the error."""
    return BeforeValidator(lambda value: read(value, ""))


def _kind(kind: Kind) -> BeforeValidator:
    return _read(kind.read)


def _text(longest: int) -> BeforeValidator:
    return _read(lambda value, place: text(value, place, longest))


def _auto(kind: Kind, found: Callable[[], int]) -> BeforeValidator:
    """As the kind, or "auto" for what the machine has."""
    return _read(lambda value, place: found() if value == "auto" else kind.read(value, place))


def _task_options(value: Any) -> Layer:
    if not isinstance(value, Mapping):
        raise InvalidOptionError(f" must be a table: got {shown(value)}")
    for key, inner in value.items():
        if isinstance(inner, Mapping) and key not in TASK_OPTIONS:
            raise InvalidOptionError(
                f'.{key} is not a known task option; the name of a task with dots is quoted: [tasks."billing.invoice"]'
            )
    return read_options(value, ".")


class Section(BaseModel):
    """A table of the file. Unknown keys are refused with the nearest known ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise InvalidOptionError(f" must be a table: got {shown(raw)}")
        known = [field.alias or name for name, field in cls.model_fields.items()]
        known_keys(raw, known, ".", "key")
        return raw


class RunnerSection(Section):
    """`[runner]`: this node."""

    store: Annotated[str, _read(readers.store)] = "sqlite:.isolane/isolane.db"
    listen_url: Annotated[str | None, _read(readers.listen_url)] = None
    host: Annotated[str, _text(255)] = "127.0.0.1"
    port: Annotated[int, _kind(whole(0, 65535))] = 8420
    name: Annotated[str, _read(readers.node_name)] = ""
    concurrency: Annotated[int, _auto(whole(1, 10_000), machine.concurrency)] = Field(
        default_factory=machine.concurrency
    )
    memory_bytes: Annotated[int, _auto(size("16MB", "1024TB"), machine.memory_bytes)] = Field(
        default_factory=machine.memory_bytes, alias="memory"
    )
    waiting_parents: Annotated[int, _kind(whole(0, 10_000))] = 100
    lease_s: Annotated[float, _kind(duration("1s", "10m"))] = Field(default=15.0, alias="lease")
    store_patience_s: Annotated[float, _kind(duration("0s", "10m"))] = Field(default=10.0, alias="store_patience")
    stop_grace_s: Annotated[float, _kind(duration("0s", "10m"))] = Field(default=5.0, alias="stop_grace")


class ServerSection(Section):
    """`[server]`: HTTP."""

    connections: Annotated[int, _kind(whole(16, 100_000))] = 1024
    hosts: tuple[Annotated[str, _read(readers.host)], ...] = Field(default=())

    @field_validator("hosts", mode="before")
    @classmethod
    def _listed(cls, raw: Any) -> Any:
        if not isinstance(raw, list):
            raise InvalidOptionError(f' must be a list of names such as ["tasks.example.com"]: got {shown(raw)}')
        return tuple(raw)


class MountSection(Section):
    """One of `[[mounts]]`; whether it can be had is checked by `runner.config.mounts`."""

    source: Annotated[str, _text(4096)]
    target: Annotated[str, _text(4096)]
    writable: Annotated[bool, _read(flag)] = False
    tasks: list[Annotated[str, _text(200)]] = Field(default=["*"])


class CodeSection(Section):
    """`[code]`: what tasks import beside their own folder and what is installed."""

    packages: tuple[Annotated[str, _text(4096)], ...] = Field(default=())

    @field_validator("packages", mode="before")
    @classmethod
    def _listed(cls, raw: Any) -> Any:
        if not isinstance(raw, list) or len(raw) > _MOST_PACKAGES:
            raise InvalidOptionError(
                f' must be a list of at most {_MOST_PACKAGES} folders such as ["../shoplib"]: got {shown(raw)}'
            )
        return tuple(raw)


class BoundsSection(Section):
    """One of `[[bounds]]`: what the tasks of these patterns may have at most; `None` bounds nothing."""

    tasks: Annotated[tuple[str, ...], _read(readers.patterns)]
    network: Annotated[tuple[str, ...] | None, _read(readers.reachable)] = None
    secrets: Annotated[tuple[str, ...] | None, _read(readers.patterns)] = None
    queues: Annotated[tuple[str, ...] | None, _read(readers.patterns)] = None
    may_schedule: Annotated[tuple[str, ...] | None, _read(readers.patterns)] = None
    timeout_s: Annotated[float | None, _kind(optional(TASK_OPTIONS["timeout"].kind))] = Field(
        default=None, alias="timeout"
    )
    memory_bytes: Annotated[int | None, _kind(optional(TASK_OPTIONS["memory"].kind))] = Field(
        default=None, alias="memory"
    )
    cpus: Annotated[float | None, _kind(optional(TASK_OPTIONS["cpus"].kind))] = None
    processes: Annotated[int | None, _kind(optional(TASK_OPTIONS["processes"].kind))] = None
    disk_bytes: Annotated[int | None, _kind(optional(TASK_OPTIONS["disk"].kind))] = Field(default=None, alias="disk")

    def written(self, key: str) -> object:
        """One key as it could be written in the file."""
        option = TASK_OPTIONS.get(key)
        value = getattr(self, option.attribute if option else key)
        return TASK_OPTIONS[key].kind.write(value) if option and not isinstance(value, tuple) else value


class SecretSection(Section):
    """`[secrets]`, of one name: where its value is, and which tasks may name it."""

    env: Annotated[str, _text(200)] | None = None
    file: Annotated[str, _text(4096)] | None = None
    tasks: list[Annotated[str, _text(200)]] = Field(default=["*"])

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):  # what was given may be the secret itself: it is not shown
            raise InvalidOptionError(
                ' must be {env = "VARIABLE"} or {file = "path"}: the value itself never stands in the config'
            )
        known_keys(raw, cls.model_fields, ".", "key")
        if "env" in raw and "file" in raw:
            raise InvalidOptionError(".env and .file exclude each other: give one")
        return raw


class SecretsSection(Section):
    """`[secrets]`: one file of all, and what is said of single names."""

    model_config = ConfigDict(extra="allow")

    file: Annotated[str, _text(4096)] | None = None
    __pydantic_extra__: dict[str, SecretSection]

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise InvalidOptionError(f" must be a table: got {shown(raw)}")
        for name in raw.keys() - {"file"}:
            check_secret(name, ": a secret")
        return raw

    @property
    def named(self) -> Mapping[str, SecretSection]:
        """What is said of single names."""
        return self.__pydantic_extra__


class SandboxSection(Section):
    """`[sandbox]`."""

    level: Annotated[str, _kind(word("auto", *Level))] = "auto"
    require: Annotated[str, _kind(word(*Level))] | None = None
    keep_warm_s: Annotated[float, _kind(duration("0s", "1d"))] = Field(default=60.0, alias="keep_warm")
    preload: Annotated[tuple[str, ...], _read(readers.modules)] = ()


class LimitsSection(Section):
    """`[limits]`. Parameters and results travel in one frame of at most 16 MB, with something around them."""

    parameters_bytes: Annotated[int, _kind(size("1KB", "15MB"))] = Field(default=5 << 20, alias="parameters")
    result_bytes: Annotated[int, _kind(size("1KB", "15MB"))] = Field(default=1 << 20, alias="result")
    log_bytes: Annotated[int, _kind(size("1KB", "1TB"))] = Field(default=10 << 20, alias="log")
    waiting_per_app: Annotated[int, _kind(whole(1, 10**9))] = _STORE_LIMITS.waiting_per_app
    waiting_per_queue: Annotated[int, _kind(whole(1, 10**9))] = _STORE_LIMITS.waiting_per_queue
    children_per_run: Annotated[int, _kind(whole(1, 10**9))] = _STORE_LIMITS.children_per_run


class RetentionSection(Section):
    """`[retention]`."""

    runs_s: Annotated[float, _kind(duration("1m", "36500d"))] = Field(default=30 * 86400.0, alias="runs")
    logs_s: Annotated[float, _kind(duration("1m", "36500d"))] = Field(default=7 * 86400.0, alias="logs")


_QueueRule = Annotated[QueueRule, PlainValidator(lambda written: read_queue_rule(written, ""))]
_TaskOptions = Annotated[Layer, PlainValidator(_task_options)]


class ConfigFile(Section):
    """The whole file."""

    runner: RunnerSection = RunnerSection()
    server: ServerSection = ServerSection()
    defaults: _TaskOptions = Layer({})
    queues: dict[Annotated[str, _read(check_queue)], _QueueRule] = {}
    tasks: dict[Annotated[str, _read(check_task)], _TaskOptions] = {}
    code: CodeSection = CodeSection()
    bounds: list[BoundsSection] = []
    mounts: list[MountSection] = []
    secrets: SecretsSection = SecretsSection()
    sandbox: SandboxSection = SandboxSection()
    limits: LimitsSection = LimitsSection()
    retention: RetentionSection = RetentionSection()
