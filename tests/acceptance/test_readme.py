"""The README's tour, typed as it stands, prints what it says."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.servers import server_in

PROJECT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_tour_prints_what_it_says(tmp_path: Path) -> None:
    for folder in ("tasks", "config", "data"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "words-*"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    with server_in(tmp_path) as server:
        server.start().close()
        for commands, expected in tour((PROJECT / "README.md").read_text()):
            ran = subprocess.run(
                ["bash", "-euc", commands.replace(". .venv/bin/activate\n", "")],
                cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert ran.returncode == 0, ran.stderr
            assert_printed(ran.stdout + ran.stderr, expected)
        assert server.stop() == 0


def tour(readme: str) -> list[tuple[str, str]]:
    """The commands of the tour, each block with what it prints."""
    section = readme.partition("## A five-minute tour")[2].partition("\n## ")[0]
    blocks = BLOCK.findall(section)
    assert [language for language, _ in blocks] == ["sh", "text"] * (len(blocks) // 2)
    texts = [text for _, text in blocks]
    return list(zip(texts[::2], texts[1::2], strict=True))


def assert_printed(output: str, expected: str) -> None:
    """Each expected line comes, in order; "…" stands for anything."""
    lines = iter(output.splitlines())
    for line in expected.splitlines():
        pattern = re.sub(r"([*?\[])", r"[\1]", line.rstrip()).replace("…", "*")
        assert any(fnmatch.fnmatchcase(printed.rstrip(), pattern) for printed in lines), f"{line!r} not in:\n{output}"
