"""Where a symbolic link leads, followed by hand and never out of the folder that it lies in.

The kernel follows links to wherever they lead at that moment, so a check of the path before says nothing. Here each
step is taken from the descriptor of the folder before it, and none of them through a link: a link's text only says
which steps come next. "Up" goes back the way that was come, so it cannot go above the folder, wherever that is by now.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from contextlib import ExitStack

#: How a folder is opened from the descriptor of the one above.
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40  # on the way to one file, as in the kernel
_DEEPEST = 50


class LeadsNowhereError(Exception):
    """The link does not lead to a file of the folder."""


def follow(root: int, home: str, path: str, opened: ExitStack) -> tuple[int, str, os.stat_result]:
    """Where `path` below the open folder `root` leads: the folder there, the name in it, and what lies under that name.

    Folders on the way are open for as long as `opened` is. `home` is where `root` is, for links that say so in full.

    Raises:
        LeadsNowhereError: to no regular file, or out of `root`.
    """
    way, steps, links = [root], deque(path.split("/")), 0
    while steps and way:
        step = steps.popleft()
        if step in ("", "."):
            continue
        if step == "..":
            way.pop()
            continue
        try:
            status = os.stat(step, dir_fd=way[-1], follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and not steps:
                return way[-1], step, status
            if stat.S_ISDIR(status.st_mode) and len(way) <= _DEEPEST:
                way.append(os.open(step, OPEN_FOLDER, dir_fd=way[-1]))
                opened.callback(os.close, way[-1])
            elif stat.S_ISLNK(status.st_mode) and links < _MOST_LINKS:
                links += 1
                text = os.readlink(step, dir_fd=way[-1])
                if text.startswith("/"):
                    way = [root] if text.startswith(f"{home}/") else []
                steps.extendleft(reversed(text.removeprefix(f"{home}/").split("/")))
            else:
                break
        except OSError:
            break
    raise LeadsNowhereError
