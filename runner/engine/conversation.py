"""The conversation with one task over its channel: from its parameters to its response.

Whatever comes from inside is hostile: a frame that is none, or of the wrong shape, is a fault that ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from runner import jsonvalue
from runner.domain.masking import Mask
from runner.domain.run import Claim, TaskError
from runner.engine.calls import Calls, is_call
from runner.engine.logbook import Logbook
from runner.engine.parts import Parts
from runner.engine.verdict import Response, read_error
from runner.errors import ExposedSecretError, InvalidError, StoreError
from sandbox import Confined, SandboxError, WireError

_CALLS_AT_ONCE = 256
_CALLS_BYTES = 4 << 20  # of those, as they came; what they take up in memory may be twenty times that
_EXIT_S = 0.5  # for a process that closed its channel to come to its end by itself
_LOG_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


class Conversation:
    """Talks to one confined task.

    Attributes:
        response: what the task answered, where it did before anything else ended it.
        fault: what was wrong with what it sent, as the rest of a sentence, where something was.
    """

    def __init__(
        self, parts: Parts, claim: Claim, confined: Confined, calls: Calls, logbook: Logbook, *, mask: Mask
    ) -> None:
        self._parts, self._claim, self._confined = parts, claim, confined
        self._calls, self._logbook, self._mask = calls, logbook, mask
        self.response: Response | None = None
        self.fault: str | None = None

    async def hold(self, start: dict[str, Any], on_silence: Callable[[], None]) -> None:
        """Talk until the task responds, faults, or is no more; `on_silence` is called when it closed its channel."""
        replies: dict[asyncio.Task[None], int] = {}
        try:
            await self._confined.send(start)
            while (frame := await self._confined.receive()) is not None:
                if is_call(frame):
                    reply = asyncio.create_task(self._reply(frame))
                    replies[reply] = self._confined.frame_bytes
                    reply.add_done_callback(replies.pop)
                    if _is_full(replies):
                        await self._make_room(replies)
                elif not await self._take(frame):
                    return
            on_silence()
            await self._await_end()
        except WireError as error:
            self.fault = f"sent what is no message ({error})"
        except (OSError, SandboxError):
            pass  # it died in the middle of a message: how it ended tells why
        finally:
            if replies:
                for reply in replies:
                    reply.cancel()
                await asyncio.gather(*replies, return_exceptions=True)

    async def _await_end(self) -> None:
        """Its channel is closed without a response, mostly since it is ending: its exit tells more than a kill."""
        with contextlib.suppress(TimeoutError, SandboxError):
            async with asyncio.timeout(_EXIT_S):
                await self._confined.wait()
                return
        self.fault = "closed its channel"

    async def _make_room(self, replies: dict[asyncio.Task[None], int]) -> None:
        """Wait until some were sent, or the process is dead: what it has still said then is little."""
        end = asyncio.create_task(self._confined.wait())
        while _is_full(replies) and not end.done():
            await asyncio.wait({end, *replies}, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        await asyncio.gather(end, return_exceptions=True)

    async def _reply(self, frame: dict[str, Any]) -> None:
        reply = await self._calls.answer(frame)
        with contextlib.suppress(OSError, SandboxError):
            await self._confined.send(reply)

    async def _take(self, frame: dict[str, Any]) -> bool:
        """Take one frame; whether the conversation goes on."""
        match frame:
            case {"type": "log", "level": str(level), "message": str(message), "at": int(at), **rest}:
                name = rest.get("logger")
                text = f"{name}: {message}" if isinstance(name, str) and name != "root" else message
                self._logbook.record(
                    level if level in _LOG_LEVELS else "INFO", text, max(0, min(at, self._parts.now()))
                )
            case {"type": "progress", "fraction": int() | float() as fraction, "text": str() | None as text}:
                words = text and self._mask.text(text)[:1000]
                progress = {"fraction": float(min(max(fraction, 0), 1)), "text": words}
                with contextlib.suppress(StoreError):
                    await self._parts.store.progress(self._claim, jsonvalue.dumps(progress, limit_bytes=1 << 16))
            case {"type": "response", **rest}:
                self._respond(rest)
                return False
            case _:
                self.fault = "sent a message of no known kind"
                return False
        return True

    def _respond(self, frame: dict[str, Any]) -> None:
        if self._confined.memory_kills():
            return  # what is left of its tree may still answer; the kill is what happened to it
        if "error" in frame:
            error = read_error(frame["error"], self._mask)
            if error is None:
                self.fault = "sent a response of the wrong shape"
            else:
                self.response = Response(error=error)
            return
        try:
            self.response = Response(result=self._result(frame.get("result")))
        except InvalidError as error:
            message = self._mask.text(str(error))
            self.response = Response(error=TaskError(type=type(error).__name__, message=message, traceback=""))

    def _result(self, value: object) -> str:
        text = jsonvalue.dumps(value, "result", limit_bytes=self._parts.settings.limits.result_bytes)
        if self._mask.find(text) is not None and (found := self._mask.locate(value, "result")) is not None:
            raise ExposedSecretError(f"{found}, and results are stored: return something else")
        return text


def _is_full(replies: dict[asyncio.Task[None], int]) -> bool:
    return len(replies) >= _CALLS_AT_ONCE or sum(replies.values()) > _CALLS_BYTES
