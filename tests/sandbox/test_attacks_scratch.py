"""Row 91 of the attack table: folders that an attempt leaves on the host, where it has no filesystem of its own."""

from __future__ import annotations

import pytest

from sandbox import Level
from support.waiting import eventually_async

LEFT = {
    "folders in each other": "[(os.mkdir('d'), os.chdir('d')) for _ in range({count})] and None",
    "folders in each other, unreadable": "[(os.mkdir('d', 0o300), os.chdir('d')) for _ in range({count})] and 0",
    "a folder that cannot be read": "os.mkdir('d', 0o300) or write('d/f')",
    "many files": "[write(str(number)) for number in range({count})] and None",
    "a link to another folder": "os.mkdir('d') or os.symlink('{host}', 'd/l') or os.symlink('{host}', 'l')",
}


@pytest.mark.parametrize("level", [Level.RESTRICTED, Level.BASIC], ids=str)
@pytest.mark.parametrize("left", LEFT)
@pytest.mark.usefixtures("who")
async def test_91_what_is_left_of_any_shape_stops_nobody(level, left, tmp_path, actor):
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "canary").touch()
    sandbox = await actor.start(tmp_path, level)
    other = await sandbox.launch(actor.spec("evaluate"))
    evil = await sandbox.launch(actor.spec("evaluate"))
    await actor.Inside(evil)(LEFT[left].format(count=1200, host=tmp_path / "host"))
    evil.kill()
    await actor.finish(evil)

    assert await actor.Inside(other)("1") == 1
    await eventually_async(lambda: len(list((tmp_path / "lock.scratch").iterdir())) == 1)
    assert (await actor.finish(await sandbox.launch(actor.spec("nothing")))).outcome.exit_code == 0

    other.kill()
    await actor.finish(other)
    await sandbox.close()
    assert not (tmp_path / "lock.scratch").exists()
    assert (tmp_path / "host" / "canary").exists()
