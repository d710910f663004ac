"""The caller's own memory."""

from __future__ import annotations

from sandbox.kernel.calls import arguments
from sandbox.kernel.calls.call import ABSENT, ALLOWED, DENIED, Call

MEMORY = (
    Call("mmap", 9, 222, arguments.MMAP, arguments.MMAP, "no huge pages: they are the machine's, uncounted"),
    Call("munmap", 11, 215, ALLOWED, ALLOWED, "its own"),
    Call("mprotect", 10, 226, ALLOWED, ALLOWED, "its own"),
    Call("mremap", 25, 216, ALLOWED, ALLOWED, "its own"),
    Call("brk", 12, 214, ALLOWED, ALLOWED, "its own"),
    Call("madvise", 28, 233, arguments.MADVISE, arguments.MADVISE, "its own; not merged with that of others"),
    Call("mincore", 27, 232, ALLOWED, ALLOWED, "its own"),
    Call("msync", 26, 227, ALLOWED, ALLOWED, "its own"),
    Call("mlock", 149, 228, ALLOWED, ALLOWED, "limited by rlimit to some pages"),
    Call("mlock2", 325, 284, ALLOWED, ALLOWED, "limited by rlimit to some pages"),
    Call("munlock", 150, 229, ALLOWED, ALLOWED, "limited by rlimit to some pages"),
    Call("mlockall", 151, 230, ALLOWED, ALLOWED, "limited by rlimit to some pages"),
    Call("munlockall", 152, 231, ALLOWED, ALLOWED, "limited by rlimit to some pages"),
    Call("pkey_alloc", 330, 289, ALLOWED, ALLOWED, "its own"),
    Call("pkey_free", 331, 290, ALLOWED, ALLOWED, "its own"),
    Call("pkey_mprotect", 329, 288, ALLOWED, ALLOWED, "its own"),
    Call("mseal", 462, 462, ALLOWED, ALLOWED, "its own"),
    Call("map_shadow_stack", 453, 453, ALLOWED, ALLOWED, "its own"),
    Call("memfd_create", 319, 279, arguments.MEMFD, arguments.MEMFD, "no huge pages"),
    Call("memfd_secret", 447, 447, DENIED, DENIED, "memory that the kernel cannot look at"),
    Call("remap_file_pages", 216, 234, ABSENT, ABSENT, "old; nothing uses it"),
    Call("mbind", 237, 235, ABSENT, ABSENT, "places memory on nodes; libraries do without"),
    Call("set_mempolicy", 238, 237, ABSENT, ABSENT, "places memory on nodes; libraries do without"),
    Call("get_mempolicy", 239, 236, ABSENT, ABSENT, "places memory on nodes; libraries do without"),
    Call("set_mempolicy_home_node", 450, 450, ABSENT, ABSENT, "places memory on nodes; libraries do without"),
    Call("migrate_pages", 256, 238, DENIED, DENIED, "moves memory of other processes"),
    Call("move_pages", 279, 239, DENIED, DENIED, "moves memory of other processes"),
    Call("process_madvise", 440, 440, DENIED, DENIED, "acts on memory of other processes"),
    Call("process_mrelease", 448, 448, DENIED, DENIED, "acts on memory of other processes"),
    Call("userfaultfd", 323, 282, DENIED, DENIED, "holds the kernel up amid its work"),
    Call("membarrier", 324, 283, ALLOWED, ALLOWED, "orders its own memory"),
)
