"""Run a Python function confined, talk to it over one channel, and tell how it ended. Standard library only.

    sandbox = Sandbox(lock_file=Path(".lock"))
    await sandbox.start()
    confined = await sandbox.launch(Spec(entry="module:function"))
    ...
    outcome = await confined.wait()

Names load when they are touched: what runs inside the sandbox imports this package too, and must not pay for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.client import Sandbox
    from sandbox.confined import Confined
    from sandbox.errors import LauncherError, SandboxError, SetupError, WireError
    from sandbox.lease import Lease
    from sandbox.outcome import Outcome
    from sandbox.spec import Level, Limits, Mount, Spec

__all__ = [
    "Confined",
    "LauncherError",
    "Lease",
    "Level",
    "Limits",
    "Mount",
    "Outcome",
    "Sandbox",
    "SandboxError",
    "SetupError",
    "Spec",
    "WireError",
]

_HOMES = {
    "Confined": "confined",
    "LauncherError": "errors",
    "Lease": "lease",
    "Level": "spec",
    "Limits": "spec",
    "Mount": "spec",
    "Outcome": "outcome",
    "Sandbox": "client",
    "SandboxError": "errors",
    "SetupError": "errors",
    "Spec": "spec",
    "WireError": "errors",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the names themselves: only when touched

    return getattr(import_module(f"{__name__}.{home}"), name)
