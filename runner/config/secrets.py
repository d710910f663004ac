"""The values of secrets, read where `[secrets]` says that they are. Settings hold places, never values.

A value is read when an attempt starts and forgotten with it, so a file that was changed counts from the next attempt
on. A file of secrets belongs to the user that the runner runs as, and nobody else may read it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runner.config.patterns import grants
from runner.config.sections import SecretSection, SecretsSection
from runner.domain.checks import nearest
from runner.domain.masking import SHORTEST, is_maskable
from runner.domain.names import check_secret
from runner.errors import InvalidOptionError, SecretError

_MOST_CHARS = 16_384
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class SecretValues:
    """What `[secrets]` says, ready to be asked.

    Attributes:
        project: where relative paths begin.
        config: the config file, for messages.
    """

    project: Path
    config: Path
    section: SecretsSection

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that holds values."""
        named = (self.section.file, *(place.file for place in self.section.named.values()))
        return tuple(self.project / file for file in named if file is not None)

    def check(self) -> None:
        """Try every file.

        Raises:
            SecretError: one cannot be used; says why and what to do about it.
        """
        try:
            if self.section.file is not None:
                _pairs(self.project / self.section.file)
            for place in self.section.named.values():
                if place.file is not None:
                    _private_text(self.project / place.file)
        except SecretError as error:
            raise SecretError(f"{self.config}: secrets: {str(error).removeprefix('but ')}") from None

    def read(self, task: str, origin: str, names: Iterable[str]) -> dict[str, str]:
        """The values of the secrets that a task names, as they are now; `origin` is its name by its file alone.

        Raises:
            SecretError: one is not there, or may not be used as it lies; says where to put it.
        """
        values = {}
        for name in names:
            try:
                values[name] = _usable(self._value(task, origin, name))
            except SecretError as error:
                raise SecretError(f"task {task} names the secret {name}, {error}") from None
        return values

    def _value(self, task: str, origin: str, name: str) -> str:
        place = self.section.named.get(name, SecretSection())
        if not grants(place.tasks, task, origin):
            by_file = "" if origin == task else f"; they must cover {origin} as well, its name by its file alone"
            raise SecretError(f"which is given to other tasks only: see secrets.{name}.tasks in {self.config}{by_file}")
        if place.file is not None:
            return _private_text(self.project / place.file).removesuffix("\n").removesuffix("\r")
        if place.env is None and self.section.file is not None:
            return self._in_shared_file(name, self.project / self.section.file)
        variable = place.env or name
        try:
            return os.environ[variable]
        except KeyError:
            raise SecretError(
                f"which is not there: set {variable} in the runner's environment and start it again, "
                f"or say under [secrets] in {self.config} in which file it is"
            ) from None

    def _in_shared_file(self, name: str, file: Path) -> str:
        pairs = _pairs(file)
        if name not in pairs:
            raise SecretError(f"which is not there: add a line {name}=… to {file}{nearest(name, pairs)}")
        return pairs[name]


def _usable(value: str) -> str:
    if not value:
        raise SecretError("which is empty where it should be")
    if not is_maskable(value) or len(value) > _MOST_CHARS:
        raise SecretError(
            f"which must have a line of at least {SHORTEST} characters, to be found again in logs, "
            f"and at most {_MOST_CHARS} in all: it has {len(value)}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SecretError("which must be UTF-8 text") from None
    return value


def _pairs(file: Path) -> dict[str, str]:
    """What the KEY=value lines of a file say. No message ever shows what stands in one."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(_private_text(file).splitlines(), 1):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not key or key.startswith("#"):
            continue
        try:
            check_secret(key)
        except InvalidOptionError:
            equals = ""
        if not equals or key in pairs:
            fault = "a second value for one name" if key in pairs else "no line such as SMTP_PASSWORD=value"
            raise SecretError(f"but line {number} of {file} is {fault}")
        is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        pairs[key] = value[1:-1] if is_quoted else value
    return pairs


def _private_text(file: Path) -> str:
    try:
        # Not blocking: what should be a file may be a pipe that nobody writes to.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SecretError(f"but {file} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as opened:
        status, me = os.fstat(descriptor), os.geteuid()
        if not stat.S_ISREG(status.st_mode):
            raise SecretError(f"but {file} is no file")
        if status.st_uid != me:
            raise SecretError(f"but {file} belongs to another user than the runner's: chown {me} {file}")
        if stat.S_IMODE(status.st_mode) not in (0o600, 0o400):
            raise SecretError(f"but others may have a part in {file}: chmod 600 {file}")
        data = opened.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise SecretError(f"but {file} is larger than {_MOST_BYTES >> 20} MB")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SecretError(f"but {file} is not UTF-8 text") from None
