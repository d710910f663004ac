"""Rows 96 and 97 of the attack table: the runner's own event loop, and memory that no process shows."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox as package
from sandbox import Level, Limits

#: A blocking sandbox, and how many of its descriptors wait by epoll.
WAITING = """
import os
from sandbox import Sandbox

with Sandbox() as sandbox:
    assert sandbox.call("builtins:int").value == 0
    files = [os.readlink(file) for file in os.scandir("/proc/self/fd") if file.is_symlink()]
    print(sum("eventpoll" in file for file in files), len(files) > 10)
"""


def test_96_watches_of_epoll_that_others_of_its_user_take_are_none_of_the_runners(who):
    done = subprocess.run(
        [sys.executable, "-c", WAITING],
        env={"PYTHONPATH": str(Path(package.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    waiting, _, looked = done.stdout.partition(" ")
    assert looked == "True\n", done.stderr
    assert (waiting == "0") == (who == "user"), "under root they are users of their own"


async def test_96_nor_is_there_epoll_where_no_cgroup_counts_it(uncounted, actor):
    await has_no_epoll(uncounted, actor)


@pytest.mark.usefixtures("who")
async def test_96_or_where_the_user_is_the_runners(tmp_path, actor):
    sandbox = await actor.start(tmp_path, Level.RESTRICTED)
    await has_no_epoll(sandbox, actor)
    await sandbox.close()


async def has_no_epoll(sandbox, actor):
    confined = await sandbox.launch(actor.spec("evaluate"))
    ask = actor.Inside(confined)

    for attack in ("__import__('select').epoll()", "__import__('attacks').call('epoll_create1', 0)"):
        assert (await ask(attack)).errno == errno.ENOSYS
    assert await ask("__import__('asyncio').run(__import__('asyncio').sleep(0, 'slept'))") == "slept"
    assert await ask("__import__('selectors').DefaultSelector.__name__") == "PollSelector"

    confined.kill()
    await actor.finish(confined)


@pytest.mark.parametrize("hidden", [False, True], ids=["seen", "hidden"])
async def test_97_what_the_kernel_holds_for_mappings_is_counted(uncounted, actor, hidden):
    limits = Limits(memory_bytes=96 << 20, disk_bytes=4 << 20, processes=32)
    confined = await uncounted.launch(actor.spec("evaluate", limits=limits))
    hide = "quotas.hide()" if hidden else "0"
    hoard = "quotas.hoard_mappings(30000, processes=12)"
    await confined.send({"eval": f"[quotas := __import__('quotas'), {hide}, {hoard}, time.sleep(60)]"})

    outcome = (await actor.finish(confined)).outcome

    assert outcome.memory_kills == 1
