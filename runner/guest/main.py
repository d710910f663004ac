"""The first and last thing of isolane in an attempt's process.

The runner's first frame says what to do: execute one run, or tell what tasks a module has. The answer is the last thing
this process sends; what was printed before is flushed before, so that nothing of it comes after. `sys.exit` in a task
is no answer: it leaves through here, and the sandbox ends the process with its code. The sandbox also ends a process
whose threads go on, so nothing here waits for them.
"""

from __future__ import annotations

import contextlib
import os
from importlib import import_module
from typing import Any

from runner import jsonvalue
from runner.errors import RunnerError
from runner.guest import logwatch, process
from runner.guest.calling import arguments, convention
from runner.guest.link import ChannelLink
from runner.guest.loading import find_tasks, load, load_module, shown_path
from runner.guest.reach import Network, hint
from runner.guest.seeding import SeedWatch
from runner.guest.signature import count_arguments, is_async, unwrap
from runner.sdk import link
from sandbox.inner.calling import call, hand_over
from sandbox.inner.failure import describe
from sandbox.protocol.channel import Channel

Frame = dict[str, Any]


def warm_up(packages: str, module: str, *preload: str) -> str:  # noqa: ARG001
    """Import a task module and what its tasks need, for attempts that are forked from this process.

    `packages` tells one state of the installed packages from another: none is forked where that is not the one of now.

    Returns:
        Why they cannot be, as the rest of "warming up, it …"; empty if they can.
    """
    process.prepare(module)
    logwatch.watch()
    seeds = SeedWatch()
    for name in preload:
        try:
            import_module(name)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ImportError(f"[sandbox] preload names {name}, whose import raised {what}") from error
    found = find_tasks(load_module(module), module)
    for task in found:
        with contextlib.suppress(Exception):  # which is for each attempt to raise
            convention(unwrap(task.function))
    if any(is_async(task.function) for task in found):
        import_module("asyncio")
    seeded = seeds.end()
    return f"called {seeded}, which each attempt has to do for itself" if seeded else ""


def main(channel: Channel) -> None:
    """Do what the first frame says, and answer. Raises `SystemExit` where the task did."""
    frame = channel.receive()
    if frame is None:
        return
    process.prepare(frame["module"])
    owner = os.getpid()
    limits = frame.get("limits", {})
    here = ChannelLink(channel, parameters_bytes=limits.get("parameters_bytes", 0), most_values=limits.get("values"))
    if frame["type"] == "start":
        link.attach(here)
        logwatch.watch()
        answer = _execute(frame)
    else:
        answer = _discover(frame["module"])
    if os.getpid() != owner:
        return  # a process that the task forked came back through its caller: the answer is not its to give
    hand_over()
    try:
        here.finish(answer)
    except RunnerError as error:
        raise SystemExit(f"the response could not be sent: {error}") from None


def _execute(frame: Frame) -> Frame:
    try:
        function = load(frame["module"], frame["function"])
    except BaseException as error:
        return _failed(error, frame["network"])
    try:
        result = call(function, *arguments(function, frame["parameters"], frame["context"]))
        text = jsonvalue.dumps(result, "result", limit_bytes=frame["limits"]["result_bytes"])
        # Through JSON and back: a thread that goes on changing it cannot spoil what was checked.
        return {"type": "response", "result": jsonvalue.loads(text, "result")}
    except SystemExit:
        raise
    except BaseException as error:
        return _failed(error, frame["network"])


def _discover(module: str) -> Frame:
    try:
        from runner.guest.manifest import describe_task  # noqa: PLC0415 - attempts do without
        from runner.guest.strays import check_strays  # noqa: PLC0415

        loaded = load_module(module)
        found = find_tasks(loaded, module)
        check_strays(loaded, found)
        tasks = [describe_task(module, task, count_arguments(task.function)) for task in found]
    except BaseException as error:
        return _failed(error, None)
    return {"type": "manifest", "tasks": tasks}


def _failed(error: BaseException, network: Network) -> Frame:
    return {"type": "response", "error": describe(error, hint(error, network), shown=shown_path)}
