"""The conversation with one task over its channel: from its parameters to its response.

Whatever comes from inside is hostile: a frame that is none, longer than its kind may be (`runner.domain.messages`) or
of the wrong shape is a fault that ends it. All that is done here for a task is done in steps, within its share of the
event loop. A long result is looked at piece by piece and kept as it came: nobody here needs its values.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from typing import Any

from runner import jsonvalue
from runner.config.sections import LimitsSection
from runner.domain.masking import Mask
from runner.domain.messages import CALLS_OPEN, LONGEST_TEXT, MOST_VALUES, RESPONSE_BEGINS, RESPONSE_ENDS, Longest
from runner.domain.run import Claim, TaskError
from runner.engine.attempts.logbook import Logbook
from runner.engine.attempts.progress import Progress
from runner.engine.attempts.task_calls import TaskCalls, is_call
from runner.engine.attempts.verdict import Response
from runner.errors import ExposedSecretError, InvalidError, LimitExceededError
from runner.store.contract import Store
from sandbox import Confined, SandboxError, WireError
from sandbox.protocol.long_texts import without_long_texts
from sandbox.protocol.pieces import check
from sandbox.protocol.strict_json import loads_shallow
from sandbox.protocol.wire import PIECE_BYTES

#: Of calls without a reply, as they came. What they hold in memory may be twenty times that, and a search for garbage
#: looks at all of it while everybody waits: so one long call is answered before the next is read.
_CALLS_BYTES = 256 << 10
_EXIT_S = 0.5  # for a process that closed its channel to come to its end by itself
_LOG_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


class Conversation:
    """Talks to one confined task.

    Attributes:
        response: what the task answered, where it did before anything else ended it.
        fault: what was wrong with what it sent, as the rest of a sentence, where something was.
    """

    def __init__(
        self,
        store: Store,
        claim: Claim,
        confined: Confined,
        calls: TaskCalls,
        logbook: Logbook,
        *,
        limits: LimitsSection,
        mask: Mask,
    ) -> None:
        self._store, self._limits, self._confined = store, limits, confined
        self._calls, self._logbook, self._mask = calls, logbook, mask
        self._share = confined.share
        self._progress = Progress(store, claim)
        self.response: Response | None = None
        self.fault: str | None = None

    async def hold(self, start: dict[str, Any], on_silence: Callable[[], None]) -> None:
        """Talk until the task responds, faults, or is no more; `on_silence` is called when it closed its channel."""
        replies: dict[asyncio.Task[None], int] = {}
        longest_text = max(self._limits.parameters_bytes, LONGEST_TEXT)
        self._confined.expect(Longest("task", self._limits.result_bytes), MOST_VALUES, longest_text)
        try:
            await self._confined.send(start)
            while (body := await self._confined.receive_body()) is not None:
                if not await self._hear(body, replies):
                    return
                if _is_full(replies):
                    await self._make_room(replies)
            on_silence()
            await self._await_end()
        except WireError as error:
            self.fault = f"sent what is no message ({error})"
        except (OSError, SandboxError):
            pass  # it died in the middle of a message: how it ended tells why
        finally:
            await self._progress.finish()
            if replies:
                for reply in replies:
                    reply.cancel()
                await asyncio.gather(*replies, return_exceptions=True)

    async def _hear(self, body: bytes, replies: dict[asyncio.Task[None], int]) -> bool:
        """Take in the frame of this body, of which nothing is kept here; whether the conversation goes on."""
        if len(body) > PIECE_BYTES and body.startswith(RESPONSE_BEGINS):
            await self._respond_at_length(body)
            return False
        frame = await self._confined.read(body)
        if len(body) > PIECE_BYTES and "result" in frame:
            self.fault = "sent a response of the wrong shape"  # a long one has one shape
            return False
        if not is_call(frame):
            return await self._take(frame)
        if not (self._confined.is_dead or self._confined.is_killed):  # else nobody waits for the reply
            reply = asyncio.create_task(self._reply(frame))
            replies[reply] = self._confined.frame_bytes
            reply.add_done_callback(replies.pop)
        return True

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

    async def _await_room(self) -> None:
        """Wait until its log has room for more, or the process is dead: what it has still said then is little."""
        if not self._logbook.is_full or self._confined.is_dead:
            return
        waits = [asyncio.create_task(wait) for wait in (self._logbook.room(), self._confined.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def _reply(self, frame: dict[str, Any]) -> None:
        reply = await self._calls.answer(frame)
        with contextlib.suppress(OSError, SandboxError):
            try:
                await self._confined.send(reply)
            except WireError as error:
                refusal = {"code": LimitExceededError.code, "message": f"the answer is too much for one reply: {error}"}
                await self._confined.send({"type": "reply", "id": reply["id"], "error": refusal})

    async def _take(self, frame: dict[str, Any]) -> bool:
        """Take one frame; whether the conversation goes on."""
        match frame:
            case {"type": "log", "level": str(level), "message": str(message), "at": int(at), **rest}:
                name = rest.get("logger")
                text = f"{name}: {message}" if isinstance(name, str) and name != "root" else message
                level = level if level in _LOG_LEVELS else "INFO"
                await self._await_room()
                await self._share.go_through(self._logbook.record(level, text, max(0, min(at, self._store.now()))))
            case {"type": "progress", "fraction": int() | float() as fraction, "text": str() | None as text}:
                with self._share:
                    words = text and self._mask.text(text)[:1000]
                    self._progress.show({"fraction": float(min(max(fraction, 0), 1)), "text": words})
            case {"type": "response", **rest}:
                with self._share:
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
            error = TaskError.read(frame["error"], self._mask.text)
            if error is None:
                self.fault = "sent a response of the wrong shape"
            else:
                self.response = Response(error=error)
            return
        try:
            self.response = Response(result=self._result(frame.get("result")))
        except InvalidError as error:
            self.response = self._refusal(error)

    async def _respond_at_length(self, body: bytes) -> None:
        """Take a result that is too long to be taken at once."""
        self._confined.leave()
        result = body[len(RESPONSE_BEGINS) : -len(RESPONSE_ENDS)]
        if not body.endswith(RESPONSE_ENDS) or result[:1].isspace():
            self.fault = "sent a response of the wrong shape"
            return
        try:
            if not await self._share.go_through(self._check(result)):
                return
        except (ValueError, InvalidError) as error:
            self.fault = f"sent what is no message ({error!s:.200})"
            return
        text = result.decode()
        secret = await self._share.go_through(self._mask.look_for(text))
        if self._confined.memory_kills():
            return  # as in `_respond`
        limit = self._limits.result_bytes
        if len(result) > limit:
            self.response = self._refusal(jsonvalue.too_large("result", limit))
        elif secret is not None:
            found = f"result holds the secret {secret}"
            self.response = self._refusal(ExposedSecretError(f"{found}, and results are stored: return something else"))
        else:
            self.response = Response(result=text)

    def _check(self, result: bytes) -> Generator[None, None, bool]:
        """Make sure that it is JSON; whether that came to its end before it was decided to kill its process."""

        def steps() -> Generator[None, None, None]:
            rest, parse = yield from without_long_texts(result, _read_piece)
            yield from check(rest, parse, depth=jsonvalue.MAX_DEPTH)

        for _ in steps():
            if self._confined.is_killed:
                return False
            yield
        return True

    def _refusal(self, error: InvalidError) -> Response:
        message = self._mask.text(str(error))
        return Response(error=TaskError(type=type(error).__name__, message=message, traceback=""))

    def _result(self, value: object) -> str:
        text = jsonvalue.dumps(value, "result", limit_bytes=self._limits.result_bytes)
        if self._mask.find(text) is not None and (found := self._mask.locate(value, "result")) is not None:
            raise ExposedSecretError(f"{found}, and results are stored: return something else")
        return text


def _read_piece(text: bytes) -> object:
    return loads_shallow(text, "its result")


def _is_full(replies: dict[asyncio.Task[None], int]) -> bool:
    return len(replies) >= CALLS_OPEN or sum(replies.values()) > _CALLS_BYTES
