"""What is advised where there is no cgroup fits the version that the host has, and where the runner stands on it."""

from __future__ import annotations

import pytest

from sandbox import remedies

BOOT = "systemd.unified_cgroup_hierarchy=1"
GIVEN_V1 = "a folder in each hierarchy"
GIVEN_V2 = "cgroup.subtree_control"
CONTAINER = "writable-cgroups=true"
OUTSIDE = "outside of the container"
MOUNT = "mount the cgroup filesystem"
DELEGATE = "Delegate=yes"
ALL = (BOOT, GIVEN_V1, GIVEN_V2, CONTAINER, OUTSIDE, MOUNT, DELEGATE)


@pytest.mark.parametrize(
    ("version", "container", "read_only", "uid", "systemd", "advice"),
    [
        (1, False, False, 1000, True, {BOOT, GIVEN_V1}),
        (1, False, False, 1000, False, {GIVEN_V1}),
        (1, False, False, 0, True, {MOUNT}),
        (1, True, False, 1000, False, {GIVEN_V1}),
        (1, True, False, 0, False, {MOUNT}),
        (1, True, True, 1000, False, {BOOT, OUTSIDE}),
        (1, True, True, 0, False, {BOOT, OUTSIDE}),
        (2, True, True, 0, False, {CONTAINER}),
        (2, True, True, 1000, False, {CONTAINER}),
        (2, False, False, 1000, True, {DELEGATE}),
        (2, False, False, 1000, False, {GIVEN_V2}),
        (2, False, False, 0, True, {MOUNT}),
        (0, True, False, 1000, False, {CONTAINER}),
        (0, False, False, 0, False, {MOUNT}),
    ],
)
def test_the_advice_on_cgroups_fits(tmp_path, monkeypatch, version, container, read_only, uid, systemd, advice):
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n" if version == 2 else "\n")
    mounts = [("cgroup2", {"rw"}, tmp_path)]
    if version == 1:
        mounts += [("cgroup", {"rw", "memory"}, tmp_path), ("cgroup", {"rw", "pids"}, tmp_path)]
    monkeypatch.setattr("sandbox.host.cgroups.files.mount_points", lambda: mounts if version else [])
    monkeypatch.setattr("sandbox.remedies._is_container", lambda: container)
    monkeypatch.setattr("sandbox.remedies._is_read_only", lambda _: read_only)
    monkeypatch.setattr("sandbox.remedies._has_systemd", lambda: systemd)
    monkeypatch.setattr("os.geteuid", lambda: uid)

    told = remedies.for_cgroups()

    assert {each for each in ALL if each in told} == advice
