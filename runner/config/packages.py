"""`[code] packages`: folders that tasks import from, which are copied with each snapshot of the tasks folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from runner.domain.checks import shown
from runner.errors import ConfigError


def read_packages(written: Iterable[str], project: Path, file: Path, *, private: Iterable[Path]) -> Iterator[Path]:
    """The folders, links followed.

    Raises:
        ConfigError: no such folder, or what is `private` lies in it: every task would see that.
    """
    for index, path in enumerate(written):
        place = f"{file}: code.packages[{index}]"
        folder = (project / path).resolve()
        if not folder.is_dir():
            raise ConfigError(f"{place} must be a folder, relative to the project: there is none at {folder}")
        for each in private:
            if folder == each or folder in each.parents:
                raise ConfigError(
                    f"{place} must hold nothing that tasks may not see, such as {each}: got {shown(path)}"
                )
        yield folder
