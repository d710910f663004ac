"""What can go wrong with the sandbox itself. How a confined process ended is never an exception: see `sandbox.Outcome`.

    SandboxError
    ├── SetupError       a step of the confinement failed; names the step and the kernel's answer
    ├── LauncherError    the launcher died or could not be started; what it had launched is dead
    └── WireError        the other side of a channel sent what is no frame
"""


class SandboxError(Exception):
    """Root of all errors of the sandbox."""


class SetupError(SandboxError):
    """A step of the confinement failed on this host; nothing of the task was run."""


class LauncherError(SandboxError):
    """The launcher died or could not be started; everything that it had launched is dead."""


class WireError(SandboxError):
    """Bytes that are no frame: too long, cut off, not strict JSON, not an object. The channel is of no more use."""
