"""Shows tasks, and what is wrong in the tasks folder, to people and programs."""

from __future__ import annotations

from runner.catalog import ModuleProblem, TaskEntry
from runner.domain.documents import Document


def task_document(entry: TaskEntry) -> Document:
    """The document of one task."""
    return {
        "name": entry.name,
        "app": entry.app,
        "module": entry.module,
        "function": entry.function,
        "file": entry.file,
        "description": entry.description,
        "schema": entry.schema,
        "options": entry.options.document(),
        "code": entry.code,
    }


def problem_document(problem: ModuleProblem) -> Document:
    """The document of what keeps a module, or a part of the config, from use."""
    error = problem.error
    return {
        "module": problem.module,
        "file": problem.file,
        "error": {"type": error.type, "message": error.message, "traceback": error.traceback},
        "kept": problem.kept,
    }
