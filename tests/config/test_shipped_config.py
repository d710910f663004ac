"""The shipped config is the documentation of every key, and says what holds without it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from runner.config import load_settings, read_settings
from runner.config.sections import (
    BoundsSection,
    CodeSection,
    ConfigFile,
    MountSection,
    SecretSection,
    Section,
)
from runner.domain.options.queue_rule import QUEUE_KEYS
from runner.domain.options.table import TASK_OPTIONS
from runner.domain.options.task_options import TaskOptions
from runner.domain.retry import Retry

PROJECT = Path(__file__).parents[2]
SHIPPED = PROJECT / "config" / "isolane.toml"


def keys_of(section: type[Section]) -> set[str]:
    return {field.alias or name for name, field in section.model_fields.items()}


def test_its_values_are_the_defaults():
    shipped = load_settings(SHIPPED, cwd=PROJECT)
    bare = read_settings({}, file=SHIPPED, project=PROJECT)

    assert shipped.project == PROJECT
    for section in ("runner", "server", "sandbox", "limits", "retention"):
        assert getattr(shipped, section) == getattr(bare, section)
    assert shipped.task_options("any", {}) == bare.task_options("any", {}) == TaskOptions()


def test_it_has_every_key():
    written = tomllib.loads(SHIPPED.read_text())
    document = ConfigFile()

    assert written["runner"].keys() == keys_of(type(document.runner))
    assert written["server"].keys() == keys_of(type(document.server))
    assert written["limits"].keys() == keys_of(type(document.limits))
    assert written["retention"].keys() == keys_of(type(document.retention))
    assert written["sandbox"].keys() == keys_of(type(document.sandbox)) - {"require"}
    assert written["defaults"].keys() == TASK_OPTIONS.keys() - {"description"}
    assert written["defaults"]["retry"].keys() == Retry().document().keys()


def test_its_examples_are_right_and_have_every_key(tmp_path):
    (tmp_path / "project" / "data" / "reports").mkdir(parents=True)
    (tmp_path / "shoplib").mkdir()
    commented = SHIPPED.read_text().partition("# [queues.billing]")
    examples = "".join(commented[1:]).partition("\n[sandbox]")[0].splitlines()
    text = "\n".join(line.removeprefix("# ") for line in examples if re.match(r"# (\[|\w+ = )", line))
    written = tomllib.loads(text)
    settings = read_settings(written, file=SHIPPED, project=tmp_path / "project")

    assert written["code"].keys() == keys_of(CodeSection)
    assert written["queues"]["billing"].keys() == QUEUE_KEYS.keys()
    assert written["bounds"][0].keys() == keys_of(BoundsSection)
    assert written["mounts"][0].keys() == keys_of(MountSection)
    named = settings.secrets.section.named
    assert set().union(*(section.model_fields_set for section in named.values())) == keys_of(SecretSection)
    assert settings.secrets.section.file is not None
    assert settings.task_options("billing.invoice", {}).retry.attempts == 5
