"""Runs from the command line, against a server that really runs them."""

from __future__ import annotations

import json
import subprocess

from conftest import command, environment

GREET = ("greet", "--parameters", '{"name": "Ada"}')
UNKNOWN = "019aa3d4-0000-7000-8000-000000000000"


def test_a_scheduled_run_is_its_id_and_can_be_waited_for(project):
    run = project.schedule(*GREET)

    waited = project("runs", "wait", run)

    assert (waited.returncode, waited.stdout) == (0, f"{run} succeeded\n")
    assert project("runs", "show", run).stdout.count(run) == 1
