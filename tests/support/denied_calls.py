"""Rows of the attack table that try system calls one by one: what is told by bits, by numbers, by tables of the kernel.

As in test_attacks.py: row, name, expressions of which each has to raise an OSError.
"""

from __future__ import annotations

_SET_UID, _SET_GID = 0o4755, 0o2755

SET_ID = (
    75,
    "leave a program with a set-user-id bit",
    *(f"os.chmod(made('{folder}/f'), {mode})" for folder in ("/shared", "/tmp") for mode in (_SET_UID, _SET_GID)),
    f"os.chmod('/shared', {_SET_GID})",
    f"os.fchmod(os.open(made('/shared/f'), os.O_RDONLY), {_SET_UID})",
    f"os.chmod(made('f', '/shared'), {_SET_UID}, dir_fd=os.open('/shared', os.O_RDONLY))",
    f"call('fchmodat2', -100, made('/shared/f').encode(), {_SET_UID}, 0)",
    f"call('chmod', made('/shared/f').encode(), {_SET_UID})",
    f"call('chmod', made('/shared/f').encode(), {1 << 32 | _SET_UID})",
    f"os.open('/shared/g', os.O_CREAT | os.O_WRONLY, {_SET_UID})",
    f"os.open('g', os.O_CREAT | os.O_WRONLY, {_SET_GID}, dir_fd=os.open('/shared', os.O_RDONLY))",
    f"os.open('/shared', os.O_TMPFILE | os.O_RDWR, {_SET_UID})",
    f"call('creat', b'/shared/g', {_SET_UID})",
    f"call('open', b'/shared/g', {0o101 | 1 << 32}, {_SET_UID})",
    f"call('openat2', -100, b'/shared/g', struct.pack('3Q', 0o101, {_SET_UID}, 0), 24)",
    f"os.mkdir('/shared/d', {_SET_GID})",
    f"os.mknod('/shared/n', {0o100000 | _SET_UID})",
    "run('chmod', 'u+s', made('/shared/f'))",
    f"in_thread(os.chmod, made('/shared/f'), {_SET_UID})",
    "os.setxattr(made('/shared/f'), 'security.capability', struct.pack('6I', 0x03000001, 1 << 7, 0, 0, 0, 0))",
)
OF_ALL_LEVELS = (
    (
        83,
        "tables of the machine",
        *(f"call('{name}', 128, bytes(64), bytes(64), 0, 0, 0)" for name in ("io_setup", "io_submit", "io_getevents")),
        "call('io_pgetevents', 0, 0, 0, 0, 0, 0)",
        "call('fanotify_init', 0, 0)",
        "call('sync')",
        "call('syncfs', os.open('/code', os.O_RDONLY))",
        "call('quotactl', 0, 0, 0, 0)",
        "fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)",
    ),
    (
        83,
        "huge pages",
        "call('mmap', 0, 2 << 20, 3, 0x40022, -1, 0)",
        "call('mmap', 0, 2 << 20, 3, 0x40022 | 21 << 26, -1, 0)",
        "call('mmap', 0, 2 << 20, 3, 0x40021 | 1 << 32, -1, 0)",
        "call('memfd_create', b'x', 4)",
        "call('memfd_create', b'x', 5 | 21 << 26)",
        "call('shmget', 0, 2 << 20, 0o5600)",
    ),
    (
        83,
        "time of the processor before all others",
        *(f"os.sched_setscheduler(0, {policy}, os.sched_param(1))" for policy in (1, 2, 6, 0x40000001)),
        "call('sched_setattr', 0, struct.pack('IIQiIQQQ', 48, 6, 0, 0, 0, 10**6, 10**7, 10**7), 0)",
        "call('prctl', 62, 1, 0, 0, 0)",
        "os.setpriority(os.PRIO_PROCESS, 0, -5)",
    ),
    (
        83,
        "attributes of files and filesystems",
        *(
            f"fcntl.ioctl(os.open('{folder}', os.O_RDONLY), {request}, bytes(128))"
            for folder in ("{shared}", "/usr")
            # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FIFREEZE, FITRIM, FS_IOC_ENABLE_VERITY, FS_IOC_ADD_ENCRYPTION_KEY,
            # BTRFS_IOC_SUBVOL_CREATE, EXT4_IOC_MOVE_EXT
            for request in (
                0x40086602,
                0x401C5820,
                0xC0045877,
                0xC0185879,
                0x40806685,
                0xC0506617,
                0x5000940E,
                0xC028660F,
            )
        ),
        "call('file_setattr', -100, b'{shared}', bytes(24), 24, 0)",
    ),
    (
        84,
        "child of another",
        *(f"call('clone', {flag | 17}, 0, 0, 0, 0)" for flag in (0x8000, 0x2000, 0x800000, 0x8000 | 1 << 32)),
        "call('clone3', struct.pack('8Q', 0x8000, 0, 0, 0, 17, 0, 0, 0), 64)",
    ),
)
OF_ITS_SUPERVISOR = (
    76,
    "limit its supervisor",
    *(f"resource.prlimit({pid}, resource.RLIMIT_CPU, (1, 1))" for pid in (1, "{pid}")),
    "call('prlimit64', 1 | 1 << 32, 0, struct.pack('QQ', 1, 1), None)",
    "os.setpriority(os.PRIO_PROCESS, 1, 19)",
    "os.setpriority(os.PRIO_USER, 0, 19)",
    "call('ioprio_set', 1, 1, 3 << 13)",
    "call('ioprio_set', 3, 1000, 3 << 13)",
    "os.sched_setaffinity(1, {0})",
    "os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))",
    "os.sched_setparam(1, os.sched_param(0))",
    "call('process_madvise', 0, None, 0, 0, 0)",
    "call('pidfd_getfd', 0, 0, 0)",
    "fcntl.fcntl(0, fcntl.F_SETOWN, 1)",
)
AT_FULL = [
    SET_ID,
    OF_ITS_SUPERVISOR,
    *((row, name, *(each.replace("{shared}", "/shared") for each in rest)) for row, name, *rest in OF_ALL_LEVELS),
]
