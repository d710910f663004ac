"""What looks like a task and is none is told, with why; what is meant for other things is left alone."""

from __future__ import annotations

import pytest

HEAD = """
import functools
from functools import lru_cache, partial
from runner import task

def plain(function):
    return lambda *arguments: function(*arguments)

def work(parameters, context=None):
    return 1

class Work:
    def __call__(self, parameters):
        return 1

    def bound(self, parameters):
        return 1
"""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("run = partial(work, 1)", "run is an object of functools.partial"),
        ("run = Work()", "run is an object of tasks.job.Work"),
        ("run = Work().bound", "run is an object of method"),
        ("run = lru_cache(work)", "run is an object of functools._lru_cache_wrapper"),
        ("class run:\n    pass", "run is a class"),
        ("job = task(partial(work, 1))", "@task marks functions"),
        ("job = task(queue='q')(Work())", "@task marks functions"),
        ("@task\n@lru_cache\ndef job(parameters): ...", "@task marks functions"),
        ("@task\nclass Job: ...", "@task marks functions"),
        (
            "@lru_cache\n@task\ndef job(parameters): ...",
            "but job is an object of functools._lru_cache_wrapper around it",
        ),
        ("@functools.cache\n@task\ndef run(parameters): ...", "run is an object of functools._lru_cache_wrapper"),
        ("@staticmethod\n@task\ndef job(parameters): ...", "but job is an object of staticmethod around it"),
        (
            "@task\ndef job(parameters): ...\njob = partial(job, 1)",
            "but job is an object of functools.partial around it",
        ),
        ("@plain\n@task\ndef job(parameters): ...", "the module has it under no name: a decorator above @task"),
        ("class Jobs:\n    @task\n    def job(self): ...", "Jobs.job (line 19) is marked by @task, inside a class"),
        ("def make():\n    @task\n    def job(): ...\nmake()", "inside a function, where it cannot be found"),
        ("@task\ndef job(): ...\n@task\ndef job(parameters): ...", "but line 20 has another job: rename one"),
    ],
)
def test_what_looks_like_a_task_and_is_none_is_told(guest, source, says):
    error = guest.discover(HEAD + source).error

    assert says in error["message"]


@pytest.mark.parametrize(
    ("source", "tasks"),
    [
        ("from subprocess import run\n@task\ndef job(): ...", ["job.job"]),
        ("from os import system as run", []),
        ("from collections import OrderedDict as run", []),
        ("run = None", []),
        ("run = lambda parameters: 1", ["job"]),
        ("@task\ndef job(parameters, context): ...\nnightly = partial(job, 1)\nother = lru_cache(work)", ["job.job"]),
        ("@task\ndef job(): ...\nsecond = job", ["job.job"]),
        ("def hidden(): ...\ncopy = partial(hidden)", []),
    ],
)
def test_what_is_meant_for_other_things_is_left_alone(guest, source, tasks):
    assert [task["name"] for task in guest.discover(HEAD + source).answer["tasks"]] == tasks
