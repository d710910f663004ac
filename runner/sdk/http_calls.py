"""The HTTP calls as values: what to send, and how to read what comes. Pure.

Each function describes one call (`HttpCall`), or a conversation of several: a generator that yields calls, is sent what
they gave, and returns its result. `Client` and `AsyncClient` only differ in how they carry them out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar, Unpack
from urllib.parse import quote, urlencode

from runner.domain.checks import known_keys
from runner.domain.options.run_filter import FILTERS, RunFilters
from runner.domain.status import FINAL
from runner.errors import InvalidOptionError
from runner.sdk.handle import Document, wait_s
from runner.sdk.schedule_requests import Request

T = TypeVar("T")

#: The longest that one request waits for a run; a longer wait is several requests.
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall(Generic[T]):
    """One HTTP request.

    Attributes:
        path: below `/api/v1`, percent-encoded, with its query.
        body: sent as JSON, `None` for no body.
        read: from the answered JSON (`None` without a body) to what the caller gets.
        repeatable: whether sending it twice is the same as once, so that a lost reply is no harm. What is not is sent
            again only where it certainly did not arrive.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    read: Callable[[Any], T]
    repeatable: bool = True

    def message(self, token: str | None) -> tuple[dict[str, str], bytes | None]:
        """Its headers, and its body in bytes."""
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.body is None:
            return headers, None
        headers["Content-Type"] = "application/json"
        return headers, json.dumps(self.body, ensure_ascii=False, allow_nan=False).encode()


Conversation = Generator[HttpCall[Any], Any, T]


def schedule(request: Request) -> HttpCall[Document]:
    """Schedule one run; its id was made here, so that a repeated call makes no second one."""
    return HttpCall(method="POST", path="/runs", body=request, read=_document)


def schedule_all(requests: Sequence[Request]) -> HttpCall[list[Document]]:
    """Schedule runs, all or none."""
    return HttpCall(method="POST", path="/runs/batch", body={"runs": list(requests)}, read=_items)


def show(run: str) -> HttpCall[Document]:
    """One run as it stands."""
    return HttpCall(method="GET", path=f"/runs/{_part(run)}", read=_document)


def wait(run: str, timeout: timedelta | str | None = None) -> Conversation[Document]:
    """The run when it is final or the time is over, whichever is first.

    A server that is about to end answers before the time: the next one is asked for the rest.
    """
    timeout_s = wait_s(timeout)
    ends_at = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_s = _WAIT_S if ends_at is None else min(_WAIT_S, max(0.0, ends_at - time.monotonic()))
        path = f"/runs/{_part(run)}?wait={round(left_s * 1000)}ms"
        document: Document = yield HttpCall(method="GET", path=path, read=_document)
        if document["status"] in FINAL or (ends_at is not None and time.monotonic() >= ends_at):
            return document


def cancel(run: str) -> HttpCall[Document]:
    """Cancel a run: at once where it waits, else its attempt is stopped."""
    return HttpCall(method="POST", path=f"/runs/{_part(run)}/cancel", read=_document)


def retry(run: str, *, force: bool = False) -> HttpCall[Document]:
    """Run a final run's task once more: a new run with the same parameters; one that succeeded only with `force`."""
    path = f"/runs/{_part(run)}/retry{'?force=true' if force else ''}"
    return HttpCall(method="POST", path=path, read=_document, repeatable=False)


def delete(run: str) -> HttpCall[None]:
    """Delete a run that is not running, with its log."""
    return HttpCall(method="DELETE", path=f"/runs/{_part(run)}", read=_nothing, repeatable=False)


def runs(*, cursor: str | None = None, limit: int | None = None, **filters: Unpack[RunFilters]) -> HttpCall[Document]:
    """One page of runs, newest first: `{"items", "next_cursor"}`."""
    known_keys(filters, FILTERS, "", "filter of runs")
    return HttpCall(method="GET", path="/runs" + _query({**filters, "cursor": cursor, "limit": limit}), read=_document)


def count() -> HttpCall[Document]:
    """How many runs there are in each status."""
    return HttpCall(method="GET", path="/runs/count", read=_document)


def logs(run: str, *, after: int = 0, limit: int | None = None, follow: bool = False) -> HttpCall[Document]:
    """A run's log, each line a document; answered as a stream."""
    query = {"after": after or None, "limit": limit, "follow": 1 if follow else None}
    return HttpCall(method="GET", path=f"/runs/{_part(run)}/logs" + _query(query), read=_document)


def queues(*, cursor: str | None = None, limit: int | None = None) -> HttpCall[Document]:
    """One page of the queues that hold, wait or are paused: `{"items", "next_cursor"}`."""
    return HttpCall(method="GET", path="/queues" + _query({"cursor": cursor, "limit": limit}), read=_document)


def queue(name: str) -> HttpCall[Document]:
    """One queue, with who holds it."""
    return HttpCall(method="GET", path=f"/queues/{_part(name)}", read=_document)


def pause(name: str) -> HttpCall[Document]:
    """Start no more runs of a queue."""
    return HttpCall(method="POST", path=f"/queues/{_part(name)}/pause", read=_document)


def resume(name: str) -> HttpCall[Document]:
    """Take back a pause."""
    return HttpCall(method="POST", path=f"/queues/{_part(name)}/resume", read=_document)


def purge(name: str) -> HttpCall[int]:
    """Cancel every run of a queue that waits; gives how many."""
    return HttpCall(method="POST", path=f"/queues/{_part(name)}/purge", read=_count("cancelled"), repeatable=False)


def release(name: str) -> HttpCall[int]:
    """Give free the slots of a queue that retrying runs hold; gives how many."""
    return HttpCall(method="POST", path=f"/queues/{_part(name)}/release", read=_count("released"), repeatable=False)


def nodes() -> HttpCall[Document]:
    """The nodes that run tasks: `{"items", "next_cursor"}`."""
    return HttpCall(method="GET", path="/nodes", read=_document)


def drain(name: str) -> HttpCall[int]:
    """Have a node, by its name, id or a beginning of one, start nothing more; gives how many have this name."""
    return HttpCall(method="POST", path=f"/nodes/{_part(name)}/drain", read=_count("draining"))


def undrain(name: str) -> HttpCall[int]:
    """Have a node that was asked to start nothing more go on; gives how many have this name."""
    return HttpCall(method="POST", path=f"/nodes/{_part(name)}/undrain", read=_count("undrained"))


def tasks() -> HttpCall[Document]:
    """What can be run, and which files of the tasks folder do not work: `{"items", "next_cursor", "problems"}`."""
    return HttpCall(method="GET", path="/tasks", read=_document)


def task(name: str) -> HttpCall[Document]:
    """One task with its options and its schema."""
    return HttpCall(method="GET", path=f"/tasks/{_part(name)}", read=_document)


def _part(text: str) -> str:
    """A part of a path; what is in it stays in it."""
    if not isinstance(text, str) or not text or text in (".", ".."):
        raise InvalidOptionError(f"an id or a name must be a text that is not empty: got {text!r:.80}")
    return quote(text, safe="", errors="surrogatepass")


def _query(parameters: Mapping[str, object]) -> str:
    given = {name: value for name, value in parameters.items() if value is not None and value not in ((), [])}
    return "?" + urlencode(given, doseq=True) if given else ""


def _document(answer: Any) -> Document:
    if not isinstance(answer, dict):
        raise TypeError("not an object")
    return answer


def _items(answer: Any) -> list[Document]:
    return [_document(item) for item in _document(answer)["items"]]


def _count(key: str) -> Callable[[Any], int]:
    return lambda answer: int(_document(answer)[key])


def _nothing(_: Any) -> None:
    return None
