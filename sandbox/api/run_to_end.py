"""From a launched process to its `Completed`: one request, at most one answer, its output, its timeout, its memory.

The first answer counts, if it was read before it was decided to kill the process. Whatever happens here, a cancellation
too, the process is dead and its pipes are closed when this returns.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sandbox.api.completed import Answer, Completed, complete
from sandbox.api.output import Output
from sandbox.errors import WireError
from sandbox.host.confined import Confined
from sandbox.host.output_reader import OutputReader
from sandbox.spec import Limits

#: How long a process may take to end after it has answered.
_EXIT_PATIENCE_S = 1.0


async def run_to_end(
    confined: Confined, request: dict[str, Any], limits: Limits, *, timeout_s: float | None, output_bytes: int
) -> Completed:
    """Send the request, and wait for the end of the process.

    Raises:
        LauncherError: the launcher died, and the process with it.
    """
    output = Output(output_bytes)
    reader = OutputReader(confined, output)
    confined.watch_network(output.note)
    ending = asyncio.create_task(_end_when_killed_for_memory(confined))
    timer = asyncio.timeout(timeout_s)
    answer = Answer()
    try:
        async with timer:
            answer = await _converse(confined, request)
            if answer.fault:
                confined.kill()
            async with asyncio.timeout(_EXIT_PATIENCE_S if answer.is_there else None):
                await confined.wait()
    except TimeoutError:
        pass  # `timer` knows which one
    finally:
        confined.kill()
        try:
            outcome = await confined.wait()
        finally:
            ending.cancel()
            await reader.finish()
    texts = await confined.share.go_through(output.texts())
    return complete(
        outcome,
        answer,
        texts,
        is_program="script" in request,
        timed_out_s=timeout_s if timer.expired() or outcome.lease_over else None,
        memory_bytes=limits.memory_bytes,
    )


async def _converse(confined: Confined, request: dict[str, Any]) -> Answer:
    try:
        await confined.send(request)
        frame = await confined.receive()
    except ConnectionError:
        return Answer()
    except WireError as error:
        return Answer(fault=f"answered with what is not JSON: {error}")
    return Answer() if frame is None else Answer.read(frame)


async def _end_when_killed_for_memory(confined: Confined) -> None:
    await confined.memory_killed()
    confined.kill()
