"""Texts that `isolane init` and `isolane tasks new` write into a project."""

from __future__ import annotations

from importlib import resources


def template(name: str) -> str:
    """The text of one template."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
