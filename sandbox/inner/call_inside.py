"""What `Sandbox.run` and `Sandbox.call` run inside: a file as a program, or one function with JSON in and out.

It gets one frame: `input` (base64), and a `script` with `arguments`, or a `module` with a `function`, `arguments` and
`keywords`. It sends at most one: `value`, or `error` with `type`, `message` and `traceback`. None of that is trusted
on the other side, since whatever was loaded here could send it too.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from sandbox.inner import calling
from sandbox.inner.failure import describe
from sandbox.protocol.channel import Channel
from sandbox.protocol.strict_json import dumps
from sandbox.protocol.wire import FRAME_LIMIT, JsonText

#: Whether the module of the function is being loaded: it must not start a sandbox by that.
loading = False


def main(channel: Channel) -> None:
    """Receive the one request, and do it."""
    request = channel.receive()
    if request is None:
        return
    if request["input"]:
        _provide_input(request["input"])
    if "script" in request:
        _run(channel, request["script"], request["arguments"])
    else:
        _call(channel, request)


def _provide_input(encoded: str) -> None:
    from binascii import a2b_base64  # noqa: PLC0415 - most have no input

    file = os.memfd_create("stdin")
    with open(file, "wb", closefd=False) as stream:
        stream.write(a2b_base64(encoded))
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)
    os.close(file)


def _run(channel: Channel, script: str, arguments: list[str]) -> None:
    """Run the file as Python runs a program; report what it raises over the channel too."""
    sys.argv[:] = [script, *arguments]
    sys.path.insert(0, os.path.dirname(script))
    module = ModuleType("__main__")
    module.__file__ = script
    sys.modules["__main__"] = module
    try:
        with open(script, "rb") as file:
            source = file.read()
        exec(compile(source, script, "exec"), vars(module))  # noqa: S102 - what all of this is for
    except SystemExit:
        raise
    except BaseException as error:
        described = describe(error)
        print(described["traceback"], end="", file=sys.stderr)
        calling.hand_over()
        channel.send({"error": described})
        sys.exit(1)
    finally:
        calling.hand_over()


def _call(channel: Channel, request: dict[str, Any]) -> None:
    owner = os.getpid()
    try:
        value = calling.call(_load(request), *request["arguments"], **request["keywords"])
        text = dumps(value, "what it returned", limit_bytes=FRAME_LIMIT - len('{"value":}'))
        if os.getpid() == owner:  # not a process that the function forked: the answer is not its to give
            calling.hand_over()
            channel.send({"value": JsonText(text)})
    except SystemExit:
        raise
    except BaseException as error:
        if os.getpid() == owner:
            calling.hand_over()
            channel.send({"error": describe(error)})


def _load(request: dict[str, Any]) -> Any:
    global loading  # noqa: PLW0603 - a fact about this process
    name: str = request["module"]
    top = name.partition(".")[0]
    loading = True
    try:
        if top not in sys.modules and (request["file"] or request["folders"]):
            _load_top(top, request["file"], request["folders"])
        found: Any = import_module(name)
    finally:
        loading = False
    for part in request["function"].split("."):
        found = getattr(found, part)
    return found


def _load_top(name: str, file: str | None, folders: list[str]) -> None:
    """Load the module from its own path: the folder around it is not shown, so it cannot be searched."""
    spec: ModuleSpec | None
    if file is None:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = folders
    else:
        spec = spec_from_file_location(name, file, submodule_search_locations=folders or None)
    if spec is None:
        raise ImportError(f"{file} is no Python module")
    module = module_from_spec(spec)
    sys.modules[name] = module
    if spec.loader is not None:
        spec.loader.exec_module(module)
