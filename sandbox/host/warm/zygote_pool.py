"""The runner's side of zygotes: which specs have one, when one is started, and when it is retired.

A zygote costs memory and a second import, so it is started when a spec comes up for the second time within `keep_s`.
Until it is ready, and where it turns out unfit, attempts are launched by themselves. It is retired when nothing was
forked from it for `keep_s`, when it is old (what a module computed at import grows stale), when others need its place,
when the next attempt has another lease, and when the runner says that its code is not current any more.

All zygotes together hold no more memory than attempts leave free; the runner says how much that is. They are the first
to go when attempts need memory, and one is started only if there is room for it. Every few seconds each is checked to
be a zygote and nothing else (`footprint`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence

from sandbox.errors import SandboxError
from sandbox.host.warm.zygote_handle import UnfitHost, ZygoteHandle
from sandbox.protocol.lease import Lease
from sandbox.spec import Spec

#: A zygote is replaced after this many seconds.
_OLD_S = 600.0
_UNFIT_REMEMBERED = 1000
#: How often each is checked to be a zygote and nothing else.
_LOOK_S = 5.0

_logger = logging.getLogger(__name__)


class ZygotePool:
    """The zygotes of one sandbox.

    Args:
        start: starts a zygote; returns it once attempts can be forked from it, or why none can.
        alive: gives all of which anything is alive, including those that warm up or were retired.
        keep_s: how long one is kept without use, in seconds; 0 for no zygotes.
        most: how many there may be at once.

    Attributes:
        free_bytes: how much they may hold together at the moment.
    """

    def __init__(
        self,
        start: Callable[[Spec, Lease | None], Awaitable[ZygoteHandle | str]],
        alive: Callable[[], Sequence[ZygoteHandle]],
        *,
        keep_s: float,
        most: int,
    ) -> None:
        self._start, self._alive = start, alive
        self.free_bytes: Callable[[], float] = lambda: float("inf")
        self._keep_s, self._most = keep_s, most
        self._known: dict[Hashable, ZygoteHandle] = {}
        self._starting: dict[Hashable, asyncio.Task[None]] = {}
        self._seen: dict[Hashable, float] = {}
        self._unfit: dict[Hashable, str] = {}
        self._told: set[str] = set()  # of the host, and so of every spec
        self._sweeping: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    @property
    def used_bytes(self) -> int:
        """The most that zygotes in use can hold: these cannot make room."""
        return sum(zygote.bytes for zygote in self._alive() if zygote.is_used)

    async def make_room(self, needed_bytes: int = 0, idle_s: float = 0.0) -> bool:
        """Retire zygotes that were idle for `idle_s` until `needed_bytes` are free; `False` if they do not suffice."""
        limit = time.monotonic() - idle_s
        while sum(zygote.bytes for zygote in self._alive()) + needed_bytes > self.free_bytes():
            going = [zygote for zygote in self._alive() if zygote.is_retired and not zygote.is_used]
            if not going:
                idle = [key for key, zygote in self._known.items() if not zygote.is_used and zygote.used_at <= limit]
                if not idle:
                    return False
                key = min(idle, key=lambda each: self._known[each].used_at)
                going = [self._known[key]]
                self._forget(key)
            await going[0].gone.wait()
        return True

    def find(self, spec: Spec, lease: Lease | None) -> ZygoteHandle | None:
        """The zygote to fork this attempt from, if there is one; if not, one may be started for later attempts."""
        if spec.warm_up is None or self._keep_s <= 0:
            return None
        key = _key(spec)
        zygote = self._usable(key, lease)
        if zygote is None and key not in self._unfit:
            since_s = self._since_last_s(key)
            if since_s < self._keep_s:
                self._begin(key, spec, lease, since_s)
        return zygote

    async def ensure(self, spec: Spec, lease: Lease | None) -> str:
        """Have a zygote ready for this spec; why there cannot be one, empty if it is ready.

        Raises `ValueError` for a spec that does not say how to warm up.
        """
        if spec.warm_up is None:
            raise ValueError("a spec without warm_up has nothing to keep warm")
        if self._keep_s <= 0:
            return "is not to be kept (keep_warm_s is 0)"
        key = _key(spec)
        if self._usable(key, lease) is None and key not in self._unfit:
            await asyncio.wait([self._begin(key, spec, lease)])  # goes on if one who waits for it is cancelled
        return "" if key in self._known else self._unfit.get(key, "found no room beside others that are in use")

    def give_up(self, zygote: ZygoteHandle, reason: str) -> None:
        """An attempt could not be forked from it: fork no more from it, and start no other for its spec."""
        key = _key(zygote.spec)
        if self._known.get(key) is zygote:
            self._forget(key)
            self._refuse(key, zygote.spec, reason)

    def retire(self, is_current: Callable[[Spec], bool] = lambda _: False) -> None:
        """Retire the zygotes whose spec is not current any more; by default all."""
        for key, zygote in list(self._known.items()):
            if not is_current(zygote.spec):
                self._forget(key)

    async def close(self) -> None:
        """Retire all, and forget which specs are unfit: that may be different after the next start."""
        for timer in (self._sweeping, self._looking):
            if timer is not None:
                timer.cancel()
        self._sweeping = self._looking = None
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        self.retire()
        self._unfit.clear()
        self._told.clear()

    def _usable(self, key: Hashable, lease: Lease | None) -> ZygoteHandle | None:
        """The zygote under this key, if an attempt may be forked from it; if not, it is retired."""
        zygote = self._known.get(key)
        if zygote is None:
            return None
        zygote.used_at = time.monotonic()
        if zygote.ready and zygote.lease is lease and zygote.used_at - zygote.born_at < _OLD_S:
            return zygote
        self._forget(key)
        if not zygote.ready and (zygote.lease is None or not zygote.lease.is_over):
            self._refuse(key, zygote.spec, zygote.fault or "made its zygote end")  # another one would end the same way
        return None

    def _since_last_s(self, key: Hashable) -> float:
        """How long ago the spec came up last; remembers this time."""
        now = time.monotonic()
        if len(self._seen) > _UNFIT_REMEMBERED:
            self._seen = {each: at for each, at in self._seen.items() if now - at < self._keep_s}
        before, self._seen[key] = self._seen.get(key), now
        return float("inf") if before is None else now - before

    def _begin(self, key: Hashable, spec: Spec, lease: Lease | None, since_s: float = 0.0) -> asyncio.Task[None]:
        if key not in self._starting:
            self._starting[key] = asyncio.create_task(self._add(key, spec, lease, since_s))
        return self._starting[key]

    async def _add(self, key: Hashable, spec: Spec, lease: Lease | None, since_s: float) -> None:
        try:
            if len(self._known) + len(self._starting) > self._most:
                idle = [each for each in self._known if not self._known[each].attempts]
                if not idle:
                    return
                self._forget(min(idle, key=lambda each: self._known[each].used_at))
            # Taking the place of one that is used more often, it would soon have to give it back.
            if not await self.make_room(spec.limits.memory_bytes, idle_s=since_s):
                return
            zygote = await self._start(spec, lease)
        except (SandboxError, OSError) as error:
            self._refuse(key, spec, f"could not be started: {error}")
        else:
            if isinstance(zygote, str):
                self._refuse(key, spec, zygote)
            else:
                self._known[key] = zygote
                self._sweep_later()
                self._look_later()
        finally:
            del self._starting[key]

    def _refuse(self, key: Hashable, spec: Spec, reason: str) -> None:
        if len(self._unfit) >= _UNFIT_REMEMBERED:
            self._unfit.clear()
        self._unfit[key] = reason
        if isinstance(reason, UnfitHost):
            if reason not in self._told:
                self._told.add(reason)
                _logger.info("no task starts warm here: that %s", reason)
            return
        _logger.info("%s starts anew for each attempt, which is slower: warming up, it %s", spec.name, reason)

    def _forget(self, key: Hashable) -> None:
        self._known.pop(key).retire()

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._keep_s, self._sweep)

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._looking = None
        for zygote in self._known.values():
            zygote.look()
        if self._known:
            self._look_later()

    def _sweep(self) -> None:
        self._sweeping = None
        limit = time.monotonic() - self._keep_s
        for key, zygote in list(self._known.items()):
            if not zygote.attempts and zygote.used_at <= limit:
                self._forget(key)
        if self._known:
            self._sweep_later()


def _key(spec: Spec) -> Hashable:
    """Equal for specs whose attempts may be forked from one zygote, which holds what its mounts led to at its start."""
    environment = tuple(sorted(spec.environment.items()))
    mounts = tuple((mount, _file_at(mount.source)) for mount in spec.mounts)
    return spec.entry, spec.warm_up, spec.limits, mounts, spec.path, environment, spec.network


def _file_at(path: str) -> Hashable:
    """Which file or folder is at `path`: different once another one was put in its place."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
