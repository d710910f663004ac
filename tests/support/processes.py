"""Seeing every process that a test leaves behind, those too whose parent died."""

from __future__ import annotations

import ctypes
import os

import psutil

_PR_SET_CHILD_SUBREAPER = 36

#: Descriptors that stay open to the end of the tests, whichever module opened them.
kept_descriptors: set[int] = set()
#: Processes that live to the end of the tests, whichever test started them.
kept_processes: set[int] = set()


def adopt_orphans() -> None:
    """Make this process the parent of whatever its children leave behind, so that it can be seen."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def living_children() -> set[int]:
    """The processes below this one. Dead ones are reaped first: their parents may have died before.

    Left out are those of the tests' database, which come and go as it likes, what a living launcher keeps warm, and
    what stays until the tests end.
    """
    for child in psutil.Process().children():
        try:
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue
    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if not (child.pid in kept_processes or _is_database(child) or is_kept_warm(child))
    }


def _is_database(process: psutil.Process) -> bool:
    try:
        return bool(process.name() == "postgres")
    except psutil.NoSuchProcess:
        return True


def is_kept_warm(process: psutil.Process) -> bool:
    """Whether it is the zygote of attempts to come, its zygote supervisor, or an init that is empty or was."""
    try:
        named = process.name().startswith(("isolane-", "zygote "))
        return named and any(parent.name() == "isolane" for parent in process.parents())
    except psutil.NoSuchProcess:
        return True


def launchers() -> list[psutil.Process]:
    """The launchers of the nodes in this very process."""
    return [child for child in psutil.Process().children() if child.name() == "isolane"]
