"""What a task's module says of each of its tasks: the entry of the manifest that the runner's catalog reads."""

from __future__ import annotations

import inspect
from typing import Any

from runner import jsonvalue
from runner.guest.annotations import shape_of
from runner.guest.loading import Found
from runner.guest.shapes import Definitions
from runner.guest.signature import parameters_type

_SCHEMA_BYTES = 1 << 20
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def describe_task(module: str, task: Found, arguments: int) -> dict[str, Any]:
    """One entry.

    Raises:
        InvalidError: (one of its kinds) its annotation asks for what parameters cannot be; names the function.
    """
    kind = parameters_type(task.function) if arguments else None
    return {
        "name": task.name,
        "module": module,
        "function": task.attribute,
        "arguments": arguments,
        "schema": None if kind is None else _schema(kind, task.function.__qualname__),
        "description": task.options.get("description") or _first_line(task.function),
        "options": task.options,
    }


def _schema(kind: Any, function: str) -> Any:
    definitions = Definitions()
    schema = {"$schema": _DIALECT, **shape_of(kind, function).schema(definitions)}
    if definitions.schemas:
        schema["$defs"] = definitions.schemas
    text = jsonvalue.dumps(schema, f"the schema of {function}", limit_bytes=_SCHEMA_BYTES)
    return jsonvalue.loads(text)


def _first_line(function: Any) -> str | None:
    # A docstring may be anything by the time it is read here.
    written = inspect.getdoc(function)
    return written.strip().partition("\n")[0][:2000] or None if isinstance(written, str) else None
