"""Whoever may write the tasks folder gets nothing read that is not in it, and holds nobody up (attack 80).

The swaps are made by a process of its own while the folder is read; a runner that is root reads what it is shown.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap

import pytest

from runner.catalog.folder import read
from runner.errors import TasksFolderError

SECRET = b"for the runner's user only"
#: Exchanges two names without end, about as often as a look at the folder needs it: once while it goes on, and back.
SWAP = """
import ctypes, random, sys, time
libc, exchange, here = ctypes.CDLL(None), 2, -100
one, other = (name.encode() for name in sys.argv[1:])
print(flush=True)
while True:
    libc.renameat2(here, one, here, other, exchange)
    time.sleep(random.random() * 0.002)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private" / "a.txt").write_bytes(SECRET)
    (tmp_path / "tasks" / "m").mkdir(parents=True)
    for place in ("m", "."):
        (tmp_path / "tasks" / place / "a.txt").write_bytes(b"x" * len(SECRET))
    for number in range(20):
        (tmp_path / "tasks" / f"n{number}.txt").touch()
    return tmp_path / "tasks"


@contextlib.contextmanager
def swapping(folder, one, other):
    arguments = [sys.executable, "-c", textwrap.dedent(SWAP), one, other]
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE) as swapper:
        swapper.stdout.readline()
        try:
            yield
        finally:
            swapper.kill()


def states_while(folder, one, other):
    """What many looks at the folder give, while two of its names are exchanged."""
    states = []
    with swapping(folder, one, other):
        for _ in range(400):
            with contextlib.suppress(TasksFolderError):
                states.append(read(folder))
    assert states or read(folder)
    return states


@pytest.mark.parametrize("name", ["m", "a.txt"])
@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_a_link_that_is_swapped_in_leads_nowhere(folder, tmp_path, name, kind):
    outside = tmp_path / "private" / ("" if name == "m" else name)
    (folder / ".link").symlink_to(outside if kind == "absolute" else os.path.relpath(outside, folder))

    for state in states_while(folder, name, ".link"):
        assert all(file.content != SECRET for file in state.files.values())


def test_a_link_whose_way_is_swapped_leads_nowhere(folder, tmp_path):
    (folder / ".way").mkdir()
    (folder / ".way" / "a.txt").write_bytes(b"y")
    (folder / ".link").symlink_to(tmp_path / "private")
    (folder / "led.txt").symlink_to(".way/a.txt")

    for state in states_while(folder, ".way", ".link"):
        assert all(file.content != SECRET for file in state.files.values())


def test_a_pipe_that_is_swapped_in_holds_nobody_up(folder):
    os.mkfifo(folder / ".pipe")

    for state in states_while(folder, "a.txt", ".pipe"):
        assert state.files.get("a.txt") is None or state.files["a.txt"].content == b"x" * len(SECRET)


def test_a_file_of_a_terabyte_is_refused_by_name_and_not_read(folder):
    with (folder / "sparse.txt").open("wb") as sparse:
        sparse.truncate(1 << 40)

    with pytest.raises(TasksFolderError, match=r"sparse\.txt is over it.*\[\[mounts\]\]"):
        read(folder)


def test_a_file_that_grows_is_never_half_of_a_state(folder):
    """However fast it grows: what is read has a length that the file had, or the folder keeps changing."""
    log = folder / "log.txt"
    growing = (
        f"file = open({str(log)!r}, 'ab', 0)\nprint(flush=True)\nwhile True: file.write(b'x' * 4096); file.truncate(0)"
    )
    faults = []
    with subprocess.Popen([sys.executable, "-c", growing], stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        try:
            for _ in range(100):
                try:
                    assert len(read(folder).files["log.txt"].content) in (0, 4096)
                except TasksFolderError as error:
                    faults.append(str(error))
        finally:
            writer.kill()
    assert all("log.txt" in fault for fault in faults)


def test_what_cannot_be_used_is_named_and_the_rest_is_read(folder, tmp_path):
    (folder / "out.py").symlink_to(tmp_path / "private" / "a.txt")
    (folder / "up.py").symlink_to("../private/a.txt")
    (folder / "round.py").symlink_to("round.py")
    (folder / "process.py").symlink_to("/proc/self/environ")
    (folder / "folder").symlink_to("m")
    (folder / "\x1b[31mred.py").touch()
    (folder / "two\nlines.py").touch()
    (folder / "\u202egnp.py").touch()
    os.close(os.open(os.fsencode(folder) + b"/\xff.py", os.O_CREAT | os.O_WRONLY))

    state = read(folder)

    assert set(state.refused) == {
        *("out.py", "up.py", "round.py", "process.py", "folder"),
        *("\\x1b[31mred.py", "two\\nlines.py", "\\u202egnp.py", "\\udcff.py"),
    }
    assert {"m/a.txt", "a.txt"} < set(state.files)
    assert not set(state.files) & {"out.py", "up.py", "two\nlines.py"}


def test_a_private_file_that_a_neighbour_linked_in_is_not_read(folder, tmp_path):
    (tmp_path / "private" / "a.txt").chmod(0o600)
    folder.chmod(0o777)
    (folder / "mine.txt").hardlink_to(tmp_path / "private" / "a.txt")

    state = read(folder)

    assert list(state.refused) == ["mine.txt"]
    assert "mine.txt" not in state.files


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads files of others")
def test_root_does_not_read_for_the_owner_of_the_folder_what_he_may_not(folder, tmp_path):
    (tmp_path / "private" / "a.txt").chmod(0o600)
    (tmp_path / "private" / "a.txt").rename(folder / "moved.txt")
    os.chown(folder, 1777, 1777)

    assert list(read(folder).refused) == ["moved.txt"]


def test_a_folder_without_end_is_cut(folder):
    deep = folder
    for _ in range(60):
        deep /= "d"
    deep.mkdir(parents=True)

    assert "deep" in next(iter(read(folder).refused.values()))


def test_a_private_file_of_its_owner_is_not_read_in_a_folder_that_others_may_write(folder):
    """Who may write two folders can move a file from one to the other that he may not read."""
    (folder / "m" / "a.txt").chmod(0o600)
    assert "m/a.txt" in read(folder).files
    (folder / "m").chmod(0o777)

    state = read(folder)

    assert "m/a.txt" not in state.files
    assert "may not be allowed to read it himself" in state.refused["m/a.txt"]
