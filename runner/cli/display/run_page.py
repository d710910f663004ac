"""One run as a page for people."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.text import Text

from runner.cli.display.render import (
    ago,
    instant,
    json_block,
    name_column,
    print_block,
    print_facts,
    print_table,
    short_column,
    size,
    status_text,
    took,
)
from runner.units import describe_seconds


def print_run(run: dict[str, Any]) -> None:
    """The run's facts, then what went in and came out, then its attempts."""
    print_facts(
        [
            ("run", run["id"]),
            ("task", run["task"]),
            ("status", _status(run)),
            ("why", run["why"]),
            ("progress", _progress(run["progress"])),
            ("queue", run["queue"]),
            ("priority", str(run["priority"]) if run["priority"] else None),
            ("tags", ", ".join(run["tags"]) or None),
            ("idempotency key", run["idempotency_key"]),
            ("parent", run["parent"]),
            ("replay of", run["replay_of"]),
            ("schedule", run["schedule"]),
            ("created", instant(run["created_at"])),
            ("due", instant(run["due_at"])),
            ("next attempt", instant(run["next_attempt_at"])),
            ("expires", None if run["started_at"] else instant(run["expires_at"])),
            ("started", instant(run["started_at"])),
            ("finished", instant(run["finished_at"])),
            ("cancel requested", instant(run["cancel_requested_at"])),
        ]
    )
    if run["parameters"]:
        print_block("parameters", json_block(run["parameters"]))
    if run["status"] == "succeeded":
        print_block("result", json_block(run["result"]))
    if run["error"] is not None:
        print_block("error", _error(run["error"]))
    if run["attempts"]:
        print_block("attempts", "")
        _print_attempts(run["attempts"])
        _print_earlier_errors(run["attempts"], run["error"])


def _status(run: dict[str, Any]) -> Text:
    text = status_text(run["status"])
    # While another attempt runs, the reason is that of the one before.
    if run["reason"] is not None and run["reason"] != "success" and run["status"] != "running":
        text.append(f" ({run['reason']})")
    return text


def _error(error: dict[str, Any]) -> str:
    return error["traceback"] or f"{error['type']}: {error['message']}"


def _print_earlier_errors(attempts: list[dict[str, Any]], last: dict[str, Any] | None) -> None:
    """What attempts raised, but for the error that is the run's own; once where several in turn raised the same."""
    for error, alike in groupby(attempts, lambda attempt: attempt["error"]):
        numbers = [attempt["number"] for attempt in alike]
        if error is not None and error != last:
            name = f"attempt {numbers[0]}" if len(numbers) == 1 else f"attempts {numbers[0]} to {numbers[-1]}"
            print_block(f"error of {name}", _error(error))


def _progress(progress: dict[str, Any] | None) -> str | None:
    if progress is None:
        return None
    fraction, text = progress.get("fraction"), progress.get("text")
    share = "" if fraction is None else f"{100 * fraction:.0f}%"
    return " ".join(part for part in (share, text) if part) or None


def _print_attempts(attempts: list[dict[str, Any]]) -> None:
    columns = [short_column(name) for name in ("  #", "ended as", "started", "took", "cpu", "memory")]
    print_table(
        [*columns, name_column("node"), name_column("why")],
        [
            (
                f"  {attempt['number']}",
                attempt["reason"] or "running",
                ago(attempt["started_at"]),
                took(attempt["started_at"], attempt["finished_at"]),
                "" if attempt["cpu_time_s"] is None else describe_seconds(attempt["cpu_time_s"]),
                size(attempt["peak_memory_bytes"]),
                attempt["node"],
                attempt["why"] or "",
            )
            for attempt in attempts
        ],
    )
