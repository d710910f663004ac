"""Attacks on what the kernel counts by user, who may be the runner's."""

# ruff: noqa: F403, F405
import errno

from attacks import *

held = []
_many = [0] * 250


def fill_flight():
    """Have as many descriptors on their way as the kernel takes; the error that says no."""
    while True:
        near, far = socket.socketpair()
        held.append((near, far))
        near.setblocking(False)
        try:
            while True:
                socket.send_fds(near, [b"x"], _many)
        except BlockingIOError:
            continue
        except OSError as error:
            return errno.errorcode[error.errno]


def hoard_sockets(count):
    """Open pairs of sockets, and fill each as far as it takes."""
    for _ in range(count):
        near, far = socket.socketpair()
        held.append((near, far))
        for each in (near, far):
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            try:
                while True:
                    each.send(bytes(1 << 16))
            except BlockingIOError:
                continue


def hoard_sockets_in_flight(count):
    """Open pairs of sockets that nobody has open: they are on their way to no one."""
    near, far = socket.socketpair()
    held.append((near, far))
    for _ in range(count):
        hoard_sockets(1)
        pair = held.pop()
        socket.send_fds(near, [b"x"], [each.fileno() for each in pair])
        for each in pair:
            each.close()


def hoard_pipes(count):
    """Open pipes, and fill each as far as it takes."""
    for _ in range(count):
        near, far = os.pipe()
        held.append((near, far))
        os.set_blocking(far, False)
        try:
            while True:
                os.write(far, bytes(4096))
        except BlockingIOError:
            continue


def hoard_shared_memory(size):
    """Fill anonymous shared memory, and have none of it resident."""
    memory = mmap.mmap(-1, size)
    held.append(memory)
    for place in range(0, size, 1 << 20):
        memory[place : place + (1 << 20)] = bytes(1 << 20)
        memory.madvise(mmap.MADV_DONTNEED)


def hoard_page_tables(size):
    """Look at one page in each 2 MB: each has a table of 4 KB then, and no memory of its own."""
    memory = mmap.mmap(-1, size * 512, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ)
    held.append(memory)
    for place in range(0, len(memory), 2 << 20):
        memory[place]


def hide():
    """Keep its own user from reading its mappings and descriptors."""
    checked(ctypes.CDLL(None).prctl(4, 0, 0, 0, 0))


def fill_inotify():
    """Make as many as there may be; how many that were."""
    count = 0
    while ctypes.CDLL(None).inotify_init1(0) >= 0:
        count += 1
    return count


def fill_signals():
    """Have as many signals wait to be delivered as may; how many that are."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    count = 0
    while ctypes.CDLL(None).sigqueue(os.getpid(), signal.SIGRTMIN, ctypes.c_void_p(0)) == 0:
        count += 1
    return count


def fill_timers():
    """Make as many timers as there may be; how many that were."""
    timer, count = ctypes.c_void_p(), 0
    create = ctypes.CDLL("librt.so.1").timer_create
    while create(1, None, ctypes.byref(timer)) == 0:
        count += 1
    return count


def hoard_mappings(count, processes):
    """Have every other page of an empty mapping be one by itself, in each of some processes."""
    protect = ctypes.CDLL(None).mprotect
    for _ in range(processes - 1):
        if os.fork() == 0:
            break
    memory = mmap.mmap(-1, 2 * count * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    held.append(memory)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in range(0, 2 * count, 2):
        checked(protect(ctypes.c_void_p(begin + page * mmap.PAGESIZE), mmap.PAGESIZE, mmap.PROT_READ))
    signal.pause()
