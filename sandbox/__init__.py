"""Run a Python file or function confined, with limits, and tell how it ended. Standard library only.

    with Sandbox() as sandbox:                                # or `async with`, and `await`
        outcome = sandbox.run("untrusted.py", timeout_s=5)
        outcome = sandbox.call("untrusted.py:work", 21)
    print(outcome.reason, outcome.value, outcome.output)

Below that, `launch` runs a `Spec` and gives a `Confined` to talk to over one channel; the runner is built on it.

Names load when they are touched: what runs inside the sandbox imports this package too, and must not pay for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.api.blocking import BlockingSandbox
    from sandbox.api.completed import Completed
    from sandbox.api.sandbox import Sandbox
    from sandbox.errors import LauncherError, SandboxError, SetupError, WireError
    from sandbox.host.confined import Confined
    from sandbox.outcome import Outcome
    from sandbox.protocol.lease import Lease
    from sandbox.protocol.wire import JsonText
    from sandbox.share import Share
    from sandbox.spec import Level, Limits, Mount, Spec, WarmUp
    from sandbox.verdict import Error, Reason

__all__ = [
    "BlockingSandbox",
    "Completed",
    "Confined",
    "Error",
    "JsonText",
    "LauncherError",
    "Lease",
    "Level",
    "Limits",
    "Mount",
    "Outcome",
    "Reason",
    "Sandbox",
    "SandboxError",
    "SetupError",
    "Share",
    "Spec",
    "WarmUp",
    "WireError",
]

_HOMES = {
    "BlockingSandbox": "api.blocking",
    "Completed": "api.completed",
    "Confined": "host.confined",
    "Error": "verdict",
    "JsonText": "protocol.wire",
    "LauncherError": "errors",
    "Lease": "protocol.lease",
    "Level": "spec",
    "Limits": "spec",
    "Mount": "spec",
    "Outcome": "outcome",
    "Reason": "verdict",
    "Sandbox": "api.sandbox",
    "SandboxError": "errors",
    "SetupError": "errors",
    "Share": "share",
    "Spec": "spec",
    "WarmUp": "spec",
    "WireError": "errors",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the names themselves: only when touched

    return getattr(import_module(f"{__name__}.{home}"), name)
