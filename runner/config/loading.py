"""From the config file to `Settings`, or to one error that lists all that is wrong in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from runner.config.mounts import STATE, read_mount
from runner.config.packages import read_packages
from runner.config.secrets import SecretValues
from runner.config.sections import ConfigFile
from runner.config.settings import Settings
from runner.domain.checks import dotted, shown
from runner.errors import ConfigError, InvalidOptionError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: Where the config is, seen from the project's folder.
PLACE = Path("config", "isolane.toml")
_FOUND_BY_PYDANTIC = {
    "dict_type": " must be a table",
    "list_type": " must be a list",
    "missing": " must be given",
}


def load(path: Path | None = None) -> Settings:
    """As `load_settings`, seen from the current folder."""
    return load_settings(path, cwd=Path.cwd())


def load_settings(path: Path | None, *, cwd: Path) -> Settings:
    """Read the config at `path`, or without one the `config/isolane.toml` of `cwd` or the nearest folder above.

    Raises:
        ConfigError: there is none, it cannot be read, or something in it is wrong.
    """
    file = cwd / path if path is not None else _find(cwd)
    try:
        document = tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError(f"no config file {file}; `isolane init` makes one") from None
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: must be UTF-8 text: byte {error.start} is not") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_error(file, str(error))) from None
    except RecursionError:
        raise ConfigError(f"{file}: is nested too deeply") from None
    above = file.resolve().parent
    return read_settings(document, file=file, project=above.parent if above.name == PLACE.parent.name else above)


def read_settings(document: Mapping[str, Any], *, file: Path, project: Path) -> Settings:
    """Settings from a parsed file.

    Raises:
        ConfigError: one line for each thing that is wrong: the file, the key, what is allowed and what was given.
    """
    try:
        read = ConfigFile.model_validate(document)
    except ValidationError as error:
        lines = (_line(details) for details in error.errors(include_url=False))
        raise ConfigError("\n".join(f"{file}: {line}" for line in lines)) from None
    scheme, _, place = read.runner.store.partition(":")
    store = project / place if scheme == "sqlite" else project / STATE
    secrets = SecretValues(project, file, read.secrets)
    shown = (project / folder for folder in ("tasks", STATE))
    for secret, folder in product(secrets.files, shown):
        if folder.resolve() in secret.resolve().parents:
            raise ConfigError(f"{file}: secrets must not lie in {folder}, which is copied: got {secret}")
    private = ((project / STATE).resolve(), store.resolve(), *(secret.resolve() for secret in secrets.files))
    trusted = ((project / "tasks").resolve(), file.resolve())
    packages = {
        f"{index}/{folder.name}": folder
        for index, folder in enumerate(read_packages(read.code.packages, project, file, private=(*private, *trusted)))
    }
    mounts = tuple(
        read_mount(section, project, f"{file}: mounts[{index}]", private=private, trusted=trusted)
        for index, section in enumerate(read.mounts)
    )
    return Settings(project=project, file=file, document=read, mounts=mounts, packages=packages, secrets=secrets)


def _find(cwd: Path) -> Path:
    for folder in (cwd, *cwd.absolute().parents):
        if (folder / PLACE).is_file():
            return folder / PLACE
    raise ConfigError(f"no {PLACE} here ({cwd.absolute()}) nor in a folder above; `isolane init` makes a project")


def _syntax_error(file: Path, message: str) -> str:
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    return f"{file}:{found[2]}: {found[1]}, at column {found[3]}" if found else f"{file}: {message}"


def _line(details: ErrorDetails) -> str:
    """One finding as "key.path must be …: got …"."""
    path = ""
    for part in details["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{dotted(part)}"
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, InvalidOptionError):
        return f"{path}{cause}".lstrip(".")
    finding = _FOUND_BY_PYDANTIC.get(details["type"]) or " " + details["msg"].replace("Input should be", "must be")
    given = "" if details["type"] == "missing" else f": got {shown(details['input'])}"
    return f"{path}{finding}{given}".lstrip(".")
