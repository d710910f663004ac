"""The sandbox's own processes beside the runner: a bare interpreter that runs one module of this package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import sandbox
from sandbox.host.links.line import until_readable

_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from importlib import import_module; "
    "import_module(sys.argv[2]).main(int(sys.argv[3]))"
)
#: The dynamic linker resolves all symbols at the start. Otherwise every process that is forked later does it again.
_BIND_NOW = {"LD_BIND_NOW": "1"}
_HOME = str(Path(sandbox.__file__).resolve().parents[1])


def start(module: str, descriptor: int) -> subprocess.Popen[bytes]:
    """Run `module.main` with this descriptor, which the process inherits, and nothing else. Raises `OSError`."""
    return subprocess.Popen(  # noqa: S603 - a fork, no more
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, _HOME, module, str(descriptor)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ} | _BIND_NOW,
        pass_fds=(descriptor,),
        start_new_session=True,  # Ctrl-C is for the runner, which then ends what it started
    )


async def until_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has ended, and reap it."""
    if process.poll() is None:
        pidfd = os.pidfd_open(process.pid)
        try:
            await until_readable(pidfd)
        finally:
            os.close(pidfd)
        process.wait()
