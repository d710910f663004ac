"""Which function to call inside, by name, and what of the host has to be seen there so that it can be imported.

A function is never sent, only named; inside, its module is loaded afresh. As little as possible is shown for that: the
file of a top-level module, or the whole folder of a top-level package, at the path that it has on the host. The folder
around it is not shown, since secrets lie beside code.

A function of the script itself (`__main__`) is found by loading the script under the name `SCRIPT`, so that the code
under `if __name__ == "__main__":` does not run.
"""

from __future__ import annotations

import os.path
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from operator import attrgetter
from typing import Any

from sandbox.spec import Mount

#: The name under which a file that is no importable module is loaded.
SCRIPT = "__sandbox_script__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function to call.

    Attributes:
        module: its full name.
        function: its name in the module, with dots where it belongs to a class.
        file: of the top-level module, `None` if it is built in or a folder without `__init__.py`.
        folders: of the top-level package; empty for a plain module.
    """

    module: str
    function: str
    file: str | None
    folders: tuple[str, ...] = ()

    def mounts(self) -> tuple[Mount, ...]:
        """What has to be shown inside."""
        shown = self.folders or (() if self.file is None else (self.file,))
        return tuple(show(path) for path in shown)


def show(path: str) -> Mount:
    """A mount of a file or folder at the path that it has on the host, readable even if only its owner may read it."""
    return Mount(source=os.path.realpath(path), target=path, owned=True)


def find(function: Callable[..., Any] | str) -> Target:
    """The target for a function, for "module:function" or for "folder/file.py:function".

    The last two are not imported here. Raises `ValueError` if it cannot be found again by its name.
    """
    if isinstance(function, str):
        place, _, name = function.rpartition(":")
        if not place or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{function!r} names no function: write 'module:function' or 'folder/file.py:function'")
        return _in_file(place, name) if place.endswith(".py") else _in_module(place, name, function)
    name = getattr(function, "__qualname__", "")
    module = getattr(function, "__module__", None)
    if not name or not isinstance(module, str):
        raise ValueError(f"{function!r} has no name by which it could be found in the sandbox; pass a plain function")
    if "<" in name:
        kind = "a lambda" if name.endswith("<lambda>") else "defined inside another function"
        raise ValueError(f"`{name}` is {kind}: only functions that stand in a module by their own name can be called")
    _check_same(function, module, name)
    if module == "__main__":
        script = sys.modules["__main__"]
        if script.__spec__ is None:
            return _in_script(getattr(script, "__file__", None), name)
        module = script.__spec__.name  # started by `python -m`
    return _in_module(module, name, f"{module}:{name}")


def _check_same(function: Callable[..., Any], module: str, name: str) -> None:
    try:
        found = attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        found = None
    if found is not function:
        raise ValueError(
            f"{function!r:.200} is not what `{module}.{name}` names; only what stands in a module by its own name "
            "can be called, so no bound methods, partials and replaced functions"
        )


def _in_script(file: str | None, name: str) -> Target:
    if file is None or not os.path.isfile(file):
        raise ValueError(f"`{name}` was typed into an interactive session; save it in a file and import it from there")
    return _in_file(file, name)


def _in_file(file: str, name: str) -> Target:
    return Target(module=SCRIPT, function=name, file=existing(file))


def existing(file: str | os.PathLike[str]) -> str:
    """The absolute path of a file. Raises `FileNotFoundError` and `IsADirectoryError`."""
    path = os.path.abspath(file)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder; name a Python file in it")
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    return path


def _in_module(module: str, name: str, given: str) -> Target:
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ValueError(f"{given!r} cannot be called: there is no module {top!r} on sys.path")
    return Target(module=module, function=name, file=_file_of(spec, given), folders=_folders_of(spec))


def _file_of(spec: ModuleSpec, given: str) -> str | None:
    if not spec.has_location or spec.origin is None:
        return None
    if not os.path.isfile(spec.origin):
        raise ValueError(f"{given!r} cannot be called: {spec.origin} is no file that could be shown in the sandbox")
    return os.path.abspath(spec.origin)


def _folders_of(spec: ModuleSpec) -> tuple[str, ...]:
    return tuple(os.path.abspath(folder) for folder in spec.submodule_search_locations or ())
