"""Stand-alone use: run a file or call a function confined, and learn how it ended.

    with Sandbox() as sandbox:                        async with Sandbox() as sandbox:
        outcome = sandbox.run("untrusted.py")             outcome = await sandbox.run("untrusted.py")

`Sandbox` is a `LaunchingSandbox`, which launches, with what it takes to run something to its end:
a conversation of one request and at most one answer (`inner.call_inside` is the other side), the output, and a timeout.
"""

from __future__ import annotations

import sys

if sys.platform != "linux":
    raise ImportError(
        f"sandbox needs Linux, and this is {sys.platform}: its walls are the Linux kernel's. "
        "Run it in a virtual machine or container with Linux (WSL 2, Lima, Docker)"
    )

import base64
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from sandbox import remedies
from sandbox.api import target
from sandbox.api.completed import Completed
from sandbox.api.run_to_end import run_to_end
from sandbox.errors import SandboxError, SetupError, WireError
from sandbox.host.launching import LaunchingSandbox
from sandbox.protocol.lease import Lease, boot_clock_ns
from sandbox.protocol.strict_json import dumps
from sandbox.protocol.wire import FRAME_LIMIT, JsonText, encode
from sandbox.spec import Level, Limits, Mount, Spec

if TYPE_CHECKING:
    from sandbox.api.blocking import BlockingSandbox

_ENTRY = "sandbox.inner.call_inside:main"
#: The lease ends a process whose timeout passed while this process was stopped or busy. It runs from the launch on.
_LEASE_SLACK_S = 10.0
_LONGEST_S = 1e9


class Sandbox(LaunchingSandbox):
    """Runs files and functions confined; for `with` (its methods block) and `async with` (they are awaited).

    Runs may overlap, from several threads or tasks; each is confined by itself. Closing kills what still runs.
    """

    _blocking: BlockingSandbox

    async def run(
        self,
        file: str | os.PathLike[str],
        arguments: Sequence[str] = (),
        *,
        input: str | bytes = b"",  # noqa: A002 - as subprocess has it
        timeout_s: float | None = 60.0,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        mounts: Sequence[Mount] = (),
        environment: Mapping[str, str] | None = None,
        network: bool | str | Sequence[str] = False,
        output_bytes: int = 1 << 20,
    ) -> Completed:
        """Run a Python file as a program.

        Args:
            file: shown inside at its own path, and nothing beside it.
            arguments: `sys.argv` after its name.
            input: what it reads from stdin.
            timeout_s: after which it is killed, `None` for never.
            limits: of all its processes together.
            mounts: files and folders that are shown inside too.
            environment: all its environment variables.
            network: none, the single hosts and ports that are named ("example.com:443"), or `True` for the host's own.
            output_bytes: how much of what it writes is kept; the rest is thrown away.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: an option has a value that it cannot have.
            SandboxError: the sandbox itself failed. However the program ends is told in the value that is returned.
        """
        if isinstance(arguments, str):
            raise TypeError(f"arguments is one text; pass a list: [{arguments!r}]")
        script = target.existing(file)
        request = {"script": script, "arguments": [str(argument) for argument in arguments]}
        shown = (target.show(script), *mounts)
        spec = _spec(limits, shown, environment, network=network)
        return await self._complete(spec, request, input, timeout_s, output_bytes)

    async def call(
        self,
        function: Callable[..., Any] | str,
        *arguments: Any,
        keywords: Mapping[str, Any] | None = None,
        input: str | bytes = b"",  # noqa: A002 - as subprocess has it
        timeout_s: float | None = 60.0,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        mounts: Sequence[Mount] = (),
        environment: Mapping[str, str] | None = None,
        network: bool | str | Sequence[str] = False,
        output_bytes: int = 1 << 20,
    ) -> Completed:
        """Call a function, plain or async, that stands in a module. What goes in and out is JSON.

        Args:
            function: or its name, "module:function" or "folder/file.py:function", which is not imported here. Its
                module's file, or the folder of its top-level package, is shown inside at its own path.
            arguments: any JSON values.
            keywords: keyword arguments.
            input: what it reads from stdin.
            timeout_s: after which it is killed, `None` for never.
            limits: of all its processes together.
            mounts: files and folders that are shown inside too.
            environment: all its environment variables.
            network: none, the single hosts and ports that are named ("example.com:443"), or `True` for the host's own.
            output_bytes: how much of what it writes is kept; the rest is thrown away.

        Raises:
            ValueError: the function cannot be found by a name, the arguments are not JSON, or an option has a value
                that it cannot have.
            SandboxError: the sandbox itself failed. However the function ends is told in the value that is returned.
        """
        found = target.find(function)
        request = {
            "module": found.module,
            "function": found.function,
            "file": found.file,
            "folders": found.folders,
            "arguments": JsonText(dumps(arguments, "arguments", limit_bytes=FRAME_LIMIT)),
            "keywords": JsonText(dumps(dict(keywords or {}), "keywords", limit_bytes=FRAME_LIMIT)),
        }
        shown = (*found.mounts(), *mounts)
        spec = _spec(limits, shown, environment, network=network)
        return await self._complete(spec, request, input, timeout_s, output_bytes)

    async def start(self) -> None:
        """As `LaunchingSandbox`; a note on the error says what to do about a level that is not available."""
        inside = sys.modules.get("sandbox.inner.call_inside")
        if inside is not None and inside.loading:
            raise SandboxError(
                "this file would start a sandbox whenever it is loaded in one; put what starts it under "
                '`if __name__ == "__main__":`'
            )
        try:
            await super().start()
        except SetupError as error:
            if self._demanded is not None:
                remedy = remedies.for_level(self._demanded)
                error.add_note(f"level {self._demanded} cannot be had on this host; to get it: {remedy}")
            raise

    async def _complete(
        self, spec: Spec, request: dict[str, Any], given: str | bytes, timeout_s: float | None, output_bytes: int
    ) -> Completed:
        if timeout_s is not None and not 0 < timeout_s <= _LONGEST_S:
            raise ValueError(f"timeout_s is {timeout_s}; it is above 0 and at most {_LONGEST_S:g}, or None for never")
        data = given.encode() if isinstance(given, str) else given
        request["input"] = base64.b64encode(data).decode()
        try:
            encode(request)
        except WireError as error:
            raise ValueError(f"arguments and input cannot be sent: {error}") from None
        lease = None if timeout_s is None else Lease(boot_clock_ns() + int((timeout_s + _LEASE_SLACK_S) * 1e9))
        confined = await self.launch(spec, lease)
        return await run_to_end(confined, request, spec.limits, timeout_s=timeout_s, output_bytes=output_bytes)

    async def __aenter__(self) -> Self:
        await self.start()
        if self.level is Level.BASIC and self._demanded is None:
            warnings.warn(
                "this host allows the sandbox no walls, only limits: what runs in it can do whatever you can do "
                f"(why: {self.walls}). To get walls: {remedies.for_level(Level.FULL)}. "
                "If that is what you want, say Sandbox(level=Level.BASIC)",
                RuntimeWarning,
                stacklevel=2,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __enter__(self) -> BlockingSandbox:
        from sandbox.api.blocking import BlockingSandbox  # noqa: PLC0415 - it is made of this class

        self._blocking = BlockingSandbox(self)
        return self._blocking

    def __exit__(self, *_: object) -> None:
        self._blocking.close()


def _spec(
    limits: Limits,
    mounts: tuple[Mount, ...],
    environment: Mapping[str, str] | None,
    *,
    network: bool | str | Sequence[str],
) -> Spec:
    hosts = (network,) if isinstance(network, str) else network
    return Spec(
        entry=_ENTRY,
        limits=limits,
        mounts=mounts,
        environment=dict(environment or {}),
        network=hosts if isinstance(hosts, bool) else tuple(hosts),
    )
