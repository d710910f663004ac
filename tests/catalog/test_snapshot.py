"""A snapshot is a state that the folder was in, whole, or it is not there."""

from __future__ import annotations

import os
import socket
import stat
import threading

import pytest

from runner.catalog import folder as reading
from runner.catalog.snapshot import Snapshot, forget_unused, is_whole, take
from runner.errors import TasksFolderError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tasks" / "deep").mkdir(parents=True)
    (tmp_path / "tasks" / "a.py").write_text("A = 1\n")
    (tmp_path / "tasks" / "deep" / "b.py").write_text("B = 2\n")
    return tmp_path / "tasks"


@pytest.fixture
def into(tmp_path):
    return tmp_path / ".isolane" / "code"


def files_of(taken: Snapshot) -> dict[str, bytes]:
    root = taken.path / "tasks"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_snapshot_holds_the_folder_under_its_hash(folder, into):
    taken = take(folder, into)

    assert taken.path == into / taken.hash
    assert files_of(taken) == {"a.py": b"A = 1\n", "deep/b.py": b"B = 2\n"}
    assert [path.name for path in into.iterdir()] == [taken.hash]


def test_the_same_content_has_the_same_hash_wherever_it_is(folder, into, tmp_path):
    copy = tmp_path / "copy"
    (copy / "deep").mkdir(parents=True)
    (copy / "deep" / "b.py").write_text("B = 2\n")
    (copy / "a.py").write_text("A = 1\n")

    assert take(copy, into).hash == take(folder, into).hash


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.py").write_text("A = 2\n"),
        lambda folder: (folder / "a.py").rename(folder / "c.py"),
        lambda folder: (folder / "empty.py").touch(),
        lambda folder: (folder / "a.py").chmod(0o755),
        lambda folder: (folder / "deep" / "b.py").unlink(),
        lambda folder: (folder / "data.txt").write_text("not only code counts"),
    ],
)
def test_any_change_makes_another_hash(folder, into, change):
    before = take(folder, into)
    change(folder)

    assert take(folder, into).hash != before.hash
    assert is_whole(before)


@pytest.mark.parametrize("name", [".hidden.py", "__pycache__/a.pyc", ".git/config", "deep/.b.py.swp"])
def test_what_is_hidden_or_compiled_does_not_count(folder, into, name):
    before = take(folder, into)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")

    assert take(folder, into) == before


def test_everybody_may_read_a_snapshot_whatever_the_umask_and_the_modes(folder, into):
    (folder / "a.py").chmod(0o600)
    (folder / "deep").chmod(0o700)
    (folder / "deep" / "b.py").chmod(0o740)
    umask = os.umask(0o077)
    try:
        root = take(folder, into).path
    finally:
        os.umask(umask)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert modes == {root.name: 0o755, "tasks": 0o755, "deep": 0o755, "a.py": 0o644, "b.py": 0o755}


def test_a_damaged_snapshot_is_made_anew(folder, into):
    taken = take(folder, into)
    (taken.path / "tasks" / "a.py").write_text("A = 666\n")

    assert not is_whole(taken)
    assert take(folder, into) == taken
    assert files_of(taken)["a.py"] == b"A = 1\n"


def test_a_link_within_the_folder_counts_as_the_file(folder, into):
    (folder / ".data").mkdir()
    (folder / ".data" / "real.py").write_text("C = 3\n")
    (folder / "c.py").symlink_to(".data/real.py")
    taken = take(folder, into)

    assert files_of(taken)["c.py"] == b"C = 3\n"
    assert not (taken.path / "tasks" / "c.py").is_symlink()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.py", "nowhere.py", "deep", "."])
def test_any_other_link_is_refused(folder, into, target):
    (folder.parent / "outside.py").touch()
    (folder / "link.py").symlink_to(target)

    taken = take(folder, into)

    assert list(taken.refused) == ["link.py"]
    assert "symbolic link" in taken.refused["link.py"]
    assert files_of(taken).keys() == {"a.py", "deep/b.py"}


def test_a_folder_of_links_to_the_whole_folder_may_be_a_link_itself(folder, into, tmp_path):
    (tmp_path / "current").symlink_to(folder)

    assert take(tmp_path / "current", into) == take(folder, into)


def test_what_is_no_file_is_passed_over(folder, into):
    before = take(folder, into)
    os.mkfifo(folder / "pipe.py")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.py"))

    assert take(folder, into) == before


def test_no_folder_says_how_to_make_one(tmp_path, into):
    with pytest.raises(TasksFolderError, match="isolane init"):
        take(tmp_path / "tasks", into)
    (tmp_path / "tasks").touch()
    with pytest.raises(TasksFolderError, match="is no folder"):
        take(tmp_path / "tasks", into)


def test_a_folder_of_data_is_refused(folder, into, monkeypatch):
    monkeypatch.setattr(reading, "_MOST_BYTES", 1000)
    (folder / "data.bin").write_bytes(bytes(1001))
    with pytest.raises(TasksFolderError, match=r"holds more than .*\[\[mounts\]\]"):
        take(folder, into)
    (folder / "data.bin").unlink()
    monkeypatch.setattr(reading, "_MOST_FILES", 1)
    with pytest.raises(TasksFolderError, match="holds more than 1 files"):
        take(folder, into)


def test_a_place_that_cannot_be_written_is_named(folder, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(TasksFolderError, match="cannot keep a snapshot of"):
        take(folder, tmp_path / "file" / "code")


def test_a_state_between_two_saves_is_never_taken(folder, into):
    """Two files always say the same number, but for the moment between their two saves."""

    def save(number):
        for name in ("a.py", "deep/b.py"):
            draft = folder / f".{number}"
            draft.write_text(f"{number}\n")
            draft.rename(folder / name)

    save(0)
    ended = threading.Event()

    def keep_saving():
        for number in range(1, 300):
            save(number)
        ended.set()

    saving = threading.Thread(target=keep_saving)
    saving.start()
    taken = []
    while not ended.is_set():
        try:
            taken.append(take(folder, into))
        except TasksFolderError as error:
            assert "keeps changing" in str(error)  # noqa: PT017
    saving.join()
    taken.append(take(folder, into))

    for state in taken:
        # The save of the second file may be seen alone only as the state before it, which really was.
        first, second = int(files_of(state)["a.py"]), int(files_of(state)["deep/b.py"])
        assert first - second in (0, 1)
        assert is_whole(state)


def test_only_what_is_in_use_is_kept(folder, into):
    old = take(folder, into)
    (folder / "a.py").write_text("A = 2\n")
    new = take(folder, into)
    (into / ".draft-of-a-crash").mkdir()
    (into / "catalog.json").touch()

    forget_unused(into, {new.hash})

    assert {path.name for path in into.iterdir()} == {new.hash, "catalog.json"}
    assert not is_whole(old)
    assert is_whole(new)
