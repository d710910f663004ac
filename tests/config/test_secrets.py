"""`[secrets]`: where values are, who may read them, and that no message shows one."""

from __future__ import annotations

import os

import pytest

from runner.config import load_settings
from runner.errors import ConfigError, SecretError


@pytest.fixture
def secrets_of(tmp_path, monkeypatch):
    """The secrets of a config, with files that only their owner can read."""
    (tmp_path / "config").mkdir()
    monkeypatch.delenv("TOKEN", raising=False)

    def load(config, **files):
        (tmp_path / "config" / "isolane.toml").write_text(config)
        for name, text in files.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o600)
        return load_settings(None, cwd=tmp_path).secrets

    return load


IN_FILE = '[secrets]\nfile = "all"'


def test_values_come_from_the_environment_under_their_own_or_another_name(secrets_of, monkeypatch):
    monkeypatch.setenv("TOKEN", "first-value")
    monkeypatch.setenv("MAIL", "second-value")
    secrets = secrets_of('[secrets]\nPASSWORD = { env = "MAIL" }')

    assert secrets.read("any", "any", ["TOKEN", "PASSWORD"]) == {"TOKEN": "first-value", "PASSWORD": "second-value"}


def test_a_file_is_there_instead_of_the_environment(secrets_of, monkeypatch):
    monkeypatch.setenv("TOKEN", "of-the-environment")
    secrets = secrets_of(IN_FILE, all="# note\n\n TOKEN = a=b c \nQUOTED=' spaced '\nDOUBLE=\"it's\"\n")

    assert secrets.read("any", "any", ["TOKEN", "QUOTED", "DOUBLE"]) == {
        "TOKEN": "a=b c",
        "QUOTED": " spaced ",
        "DOUBLE": "it's",
    }


def test_a_file_of_one_value_is_taken_whole_but_for_its_last_line_end(secrets_of):
    secrets = secrets_of(IN_FILE + '\nKEY = { file = "key" }', all="", key=" line one\nline two\n\n")

    assert secrets.read("any", "any", ["KEY"]) == {"KEY": " line one\nline two\n"}


def test_a_secret_can_be_kept_for_some_tasks(secrets_of):
    secrets = secrets_of(IN_FILE + '\nTOKEN = { tasks = ["mail.*"] }', all="TOKEN=abcdef")

    assert secrets.read("mail.send", "mail.send", ["TOKEN"]) == {"TOKEN": "abcdef"}
    with pytest.raises(SecretError, match=r"task shop names the secret TOKEN, which is given to other tasks only: see"):
        secrets.read("shop", "shop", ["TOKEN"])


def test_a_chosen_name_takes_no_secret_that_the_name_by_its_file_does_not_have(secrets_of):
    secrets = secrets_of(IN_FILE + '\nTOKEN = { tasks = ["mail.*"] }', all="TOKEN=abcdef")

    assert secrets.read("mail.other", "mail.send", ["TOKEN"]) == {"TOKEN": "abcdef"}
    with pytest.raises(SecretError, match=r"must cover untrusted\.x\.free as well, its name by its file alone"):
        secrets.read("mail.free", "untrusted.x.free", ["TOKEN"])
    with pytest.raises(SecretError, match="given to other tasks only"):
        secrets.read("other", "mail.send", ["TOKEN"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("TOKEN=", "names the secret TOKEN, which is empty where it should be"),
        ("TOKEN=abc", "which must have a line of at least 4 characters"),
        ("TOKEN=" + "x" * 16_385, "and at most 16384 in all: it has 16385"),
        ("TOKENS=hunter2", "add a line TOKEN=… to .*all; did you mean TOKENS"),
        ("TOKEN=hunter2\nTOKEN=hunter3", "line 2 of .*all is a second value for one name"),
        ("hunter2", "line 1 of .*all is no line such as SMTP_PASSWORD=value"),
        ("token=hunter2", "line 1 of .*all is no line such as"),
        ("export TOKEN=hunter2", "line 1 of .*all is no line such as"),
    ],
)
def test_what_is_wrong_with_a_value_is_told_without_it(secrets_of, text, says):
    secrets = secrets_of(IN_FILE, all=text)

    with pytest.raises(SecretError, match=says) as refused:
        secrets.read("any", "any", ["TOKEN"])
    assert "hunter" not in str(refused.value)


def test_a_secret_that_is_nowhere_names_both_places_where_it_could_be(secrets_of):
    with pytest.raises(
        SecretError, match=r"set TOKEN in the runner's environment .* or say under \[secrets\] in .*toml"
    ):
        secrets_of("").read("any", "any", ["TOKEN"])


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o700])
def test_a_file_in_which_others_may_have_a_part_is_refused_with_the_fix(secrets_of, tmp_path, mode):
    secrets = secrets_of(IN_FILE, all="TOKEN=abcdef")
    (tmp_path / "all").chmod(mode)

    with pytest.raises(SecretError, match=f"chmod 600 {tmp_path}/all"):
        secrets.read("any", "any", ["TOKEN"])
    with pytest.raises(ConfigError, match=r"isolane\.toml: secrets: others may have a part in .*: chmod 600"):
        secrets.check()


def test_a_file_that_only_its_owner_reads_is_fine(secrets_of, tmp_path):
    secrets = secrets_of(IN_FILE, all="TOKEN=abcdef")
    (tmp_path / "all").chmod(0o400)

    secrets.check()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused_with_the_fix(secrets_of, tmp_path):
    secrets = secrets_of(IN_FILE, all="TOKEN=abcdef")
    os.chown(tmp_path / "all", 65534, -1)

    with pytest.raises(SecretError, match=f"belongs to another user than the runner's: chown 0 {tmp_path}/all"):
        secrets.read("any", "any", ["TOKEN"])


def test_what_is_no_file_is_refused_at_once(secrets_of, tmp_path):
    secrets = secrets_of(IN_FILE)
    with pytest.raises(SecretError, match="all cannot be read: No such file or directory"):
        secrets.check()
    os.mkfifo(tmp_path / "all", 0o600)
    with pytest.raises(SecretError, match="all is no file"):
        secrets.check()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("secrets = 3", "secrets must be a table: got 3"),
        ("[secrets]\nfile = 3", "secrets.file must be text: got 3"),
        ("[secrets]\nTOKEN = 'hunter2'", "secrets.TOKEN must be {env ="),
        ("[secrets]\nTOKEN = ['hunter2']", "the value itself never stands in the config"),
        ("[secrets]\nTOKEN = { value = 'hunter2' }", "secrets.TOKEN.value is not a known key"),
        ("[secrets]\nTOKEN = { env = 'A', file = 'b' }", "secrets.TOKEN.env and .file exclude each other"),
        ("[secrets]\ntoken = { env = 'A' }", "secrets: a secret must be named in capital letters"),
        ("[secrets]\nfile = 'tasks/all'", "secrets must not lie in"),
        ("[secrets]\nTOKEN = { file = '.isolane/code/x' }", "secrets must not lie in"),
        (IN_FILE + "\n[[mounts]]\nsource = 'all'\ntarget = '/data'", "mounts[0].source must not show tasks"),
        ("[secrets]\nfile='c/x'\n[[mounts]]\nsource = 'c'\ntarget = '/data'", "mounts[0].source must not show tasks"),
    ],
)
def test_a_wrong_section_is_refused_and_shows_no_value(secrets_of, tmp_path, config, says):
    (tmp_path / "c").mkdir()
    with pytest.raises(ConfigError) as refused:
        secrets_of(config, all="TOKEN=abcdef")

    assert says in str(refused.value)
    assert "hunter" not in str(refused.value)


def test_a_secret_behind_a_link_cannot_be_mounted_either(secrets_of, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(ConfigError, match="must not show tasks"):
        secrets_of("[secrets]\nfile = 'link/x'\n[[mounts]]\nsource = 'real'\ntarget = '/data'")
