"""Programs with a set-user-id bit in a folder that tasks may write: none is made, none is changed."""

from __future__ import annotations

import mmap
import os
import struct

import pytest

from sandbox import Level, Mount, SetupError
from sandbox.host import set_id_files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shared" / "deep").mkdir(parents=True)
    (tmp_path / "shared" / "deep" / "program").write_text("#!/bin/true\n")
    return tmp_path / "shared"


@pytest.mark.parametrize(("mode", "found"), [(0o755, False), (0o4755, True), (0o2755, True), (0o2644, False)])
def test_what_gives_another_identity_is_found(folder, mode, found):
    (folder / "deep" / "program").chmod(mode)

    assert set_id_files.find(str(folder)) == (str(folder / "deep" / "program") if found else "")
    assert set_id_files.find(str(folder / "deep" / "program")) == set_id_files.find(str(folder))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give capabilities")
def test_94_what_gives_capabilities_is_found_as_well(folder):
    program = folder / "deep" / "program"
    set_user_id_effective = struct.pack("6I", 0x02000001, 1 << 7, 0, 0, 0, 0)[:20]
    os.setxattr(program, "security.capability", set_user_id_effective)
    with program.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[:2] = b"##"
    assert os.getxattr(program, "security.capability") == set_user_id_effective, "the kernel takes them away by itself"

    assert set_id_files.find(str(folder)) == str(program)


def test_links_are_not_followed(folder, tmp_path):
    (tmp_path / "program").write_text("")
    (tmp_path / "program").chmod(0o4755)
    (folder / "link").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder)

    assert set_id_files.find(str(folder)) == ""


@pytest.mark.parametrize("level", [Level.FULL, Level.RESTRICTED])
async def test_a_folder_with_one_is_mounted_read_only_or_not_at_all(tmp_path, actor, folder, level):
    program = folder / "deep" / "program"
    program.chmod(0o4755)
    sandbox = await actor.start(tmp_path, level)
    try:
        for writable in (False, True):
            spec = actor.spec("nothing", mounts=(Mount(source=str(folder), target="/shared", writable=writable),))
            if writable:
                with pytest.raises(SetupError, match=f"{program} has a set-user-id"):
                    await sandbox.launch(spec)
                program.chmod(0o755)
            await actor.finish(await sandbox.launch(spec))
    finally:
        await sandbox.close()


@pytest.mark.parametrize("place", ["/shared", "/tmp", "/dev/shm", "/code", "/", "/proc", "/usr"])
async def test_no_mount_heeds_such_bits(sandbox, actor, folder, place):
    mounts = (Mount(source=str(folder), target="/shared", writable=True),)
    confined = await sandbox.launch(actor.spec("evaluate", mounts=mounts))

    assert await actor.Inside(confined)(f"os.statvfs({place!r}).f_flag") & os.ST_NOSUID

    confined.kill()
    await actor.finish(confined)
