"""Which level is taken where the host allows less: a process that is denied what a weaker host would lack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox as package
from sandbox import Level
from sandbox.doctor import diagnose

START = """
import asyncio, json, platform, sys
from pathlib import Path
from sandbox import Level, Mount, Sandbox, SandboxError, Spec
from sandbox.kernel import bpf, seccomp, syscalls

NO_NAMESPACES = {(56, 220): bpf.Checks((bpf.Check(0, (0,), bpf.deny(1), mask=0x7E020000, unless=True),))}
NO_LANDLOCK = {(444, 444): bpf.deny(38)}
lacks = {"namespaces": NO_NAMESPACES, "landlock": NO_LANDLOCK, "both": NO_NAMESPACES | NO_LANDLOCK}[sys.argv[2]]
column = 0 if platform.machine() == "x86_64" else 1
rules = {numbers[column]: rule for numbers, rule in lacks.items()}
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
architecture = seccomp._ARCHITECTURES[seccomp._MACHINES[platform.machine()]]
syscalls.filter_call(bpf.assemble(architecture, rules))()

async def examine():
    from sandbox.doctor import diagnose

    return {finding.name: finding.to_document() for finding in await diagnose()}


async def main():
    sandbox = Sandbox(lock_file=Path(sys.argv[1]) / "lock", level=Level(sys.argv[3]) if sys.argv[3] else None)
    try:
        await sandbox.start()
    except SandboxError as error:
        return {"error": str(error)}
    level, walls = sandbox.level, sandbox.walls
    await sandbox.close()
    return {"level": level, "walls": walls}

print(json.dumps(asyncio.run(examine() if sys.argv[3] == "doctor" else main())))
"""


def started(tmp_path, lacks, level=""):
    done = subprocess.run(
        [sys.executable, "-c", START, str(tmp_path), lacks, level],
        env={"PYTHONPATH": str(Path(package.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_without_namespaces_it_is_restricted_and_says_why(tmp_path):
    answer = started(tmp_path, "namespaces")

    assert answer["level"] == "restricted"
    assert "landlock" in answer["walls"]
    assert "seccomp" in answer["walls"]
    assert "not full: namespaces: " in answer["walls"]


def test_without_namespaces_and_landlock_it_is_basic_and_says_why(tmp_path):
    answer = started(tmp_path, "both")

    assert answer["level"] == "basic"
    assert "not full: namespaces: " in answer["walls"]
    assert "not restricted: landlock: " in answer["walls"]


def test_full_without_landlock_says_so(tmp_path):
    answer = started(tmp_path, "landlock")

    assert answer["level"] == "full"
    assert "no Landlock in this kernel" in answer["walls"]


@pytest.mark.parametrize(
    ("lacks", "level", "step"), [("namespaces", "full", "namespaces"), ("both", "restricted", "landlock")]
)
def test_a_level_that_cannot_be_had_is_refused(tmp_path, lacks, level, step):
    assert started(tmp_path, lacks, level)["error"].startswith(f"{step}: ")


def test_the_doctor_names_what_is_missing_and_what_to_do(tmp_path):
    findings = started(tmp_path, "both", "doctor")

    missing = {name for name, finding in findings.items() if finding["kind"] != "limit" and not finding["stands"]}
    assert missing == {
        *("full", "restricted", "user namespace", "pid namespace", "mount namespace", "net namespace"),
        *("ipc namespace", "uts namespace", "cgroup namespace", "granted hosts", "private root", "landlock"),
    }
    assert "EPERM" in findings["full"]["detail"]
    assert all(findings[name]["remedy"] for name in missing)
    assert "landlock" in findings["landlock"]["remedy"]
    assert findings["seccomp"]["stands"]


async def test_the_doctor_finds_every_wall_standing_here_and_leaves_nothing():
    children = Path("/proc/self/task").joinpath(str(os.getpid()), "children")
    before = children.read_text()

    findings = await diagnose()

    assert all(finding.stands for finding in findings if finding.kind != "limit")
    assert [finding.name for finding in findings if finding.kind == "level"] == list(Level)
    assert children.read_text() == before
