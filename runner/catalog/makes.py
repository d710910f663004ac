"""What a module's declarations are made of: as long as it is the same, they need not be asked for again.

It is the module's own file, every file that is no module with tasks (helpers, data, `__init__.py`), the modules with
tasks that it, or something of the before, names, with what they name in turn, and the packages that are installed. To
name is loosely meant: the last part of a module's name stands somewhere in the source, as a word. A file that imports
by computed names, or is very long, counts as naming all. Code is never parsed here: it is hostile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_WORD = re.compile(rb"[^\W\d]\w*")
#: Who says one of these may import anything.
_ANYTHING = frozenset((b"importlib", b"__import__", b"pkgutil", b"runpy", b"exec", b"eval"))
#: A longer file is not searched: it would hold up whoever else computes in this process.
_LONGEST = 256 << 10


def makes(root: Path, modules: Mapping[str, str], environment: str) -> dict[str, str]:
    """The make of each module, of which `modules` has the path below `root`; `environment` is part of each."""
    paths = {path: module for module, path in modules.items()}
    last_parts: dict[bytes, set[str]] = {}
    for module in modules:
        last_parts.setdefault(module.rpartition(".")[2].encode(), set()).add(module)
    digests: dict[str, bytes] = {}
    names: dict[str, set[str]] = {}
    common, named_by_helpers = hashlib.sha256(environment.encode()), set[str]()
    for file in sorted(each for each in root.rglob("*") if each.is_file()):
        path, content = file.relative_to(root).as_posix(), file.read_bytes()
        named = _named(content, last_parts, modules) if path.endswith(".py") else set()
        if (owner := paths.get(path)) is not None:
            digests[owner], names[owner] = hashlib.sha256(content).digest(), named
        else:
            common.update(b"%b\0%b" % (path.encode(), hashlib.sha256(content).digest()))
            named_by_helpers |= named
    made = {}
    for module in modules:
        digest = common.copy()
        for each in sorted(_reached({module, *named_by_helpers}, names)):
            digest.update(b"%b\0%b" % (each.encode(), digests.get(each, b"")))
        made[module] = digest.hexdigest()
    return made


def _named(content: bytes, last_parts: Mapping[bytes, set[str]], modules: Iterable[str]) -> set[str]:
    words = set(_WORD.findall(content)) if len(content) <= _LONGEST else _ANYTHING
    if words & _ANYTHING:
        return set(modules)
    return {module for word in words & last_parts.keys() for module in last_parts[word]}


def _reached(begin: set[str], names: Mapping[str, set[str]]) -> set[str]:
    reached, left = set(begin), list(begin)
    while left:
        for module in names.get(left.pop(), ()):
            if module not in reached:
                reached.add(module)
                left.append(module)
    return reached
