"""`context.secrets`: what a task sees of its secrets, and what is shown of them."""

from __future__ import annotations

import pickle

import pytest

from runner.sdk.secrets import Secrets

SECRETS = Secrets({"TOKEN": "hunter2", "KEY": "hunter3"})


def test_values_are_read_by_name_and_only_the_names_are_shown() -> None:
    assert (SECRETS["TOKEN"], len(SECRETS), list(SECRETS)) == ("hunter2", 2, ["TOKEN", "KEY"])
    for shown in (repr(SECRETS), str(SECRETS), f"{SECRETS}", repr(SECRETS.values()), repr(SECRETS.items())):
        assert "TOKEN, KEY" in shown
        assert "hunter" not in shown


def test_they_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SECRETS["TOKEN"] = "other"  # type: ignore[index]


def test_a_name_that_is_not_there_says_which_option_adds_it() -> None:
    with pytest.raises(KeyError, match=r"does not name the secret OTHER: @task\(secrets=\['OTHER'\]\)"):
        SECRETS["OTHER"]
    assert SECRETS.get("OTHER") is None


def test_they_go_along_to_processes_of_the_task() -> None:
    assert pickle.loads(pickle.dumps(SECRETS)) == SECRETS
