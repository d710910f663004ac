"""Which text every store can keep and look for: PostgreSQL has no U+0000, and UTF-8 no half of a character.

Both stores behave alike. What a caller names by other text does not exist, where it only looks; where it would be kept,
it is refused. A sentence that is kept for people has such characters replaced.
"""

from __future__ import annotations

from runner.domain.options.run_filter import FILTERS, RunFilter
from runner.domain.run import NewRun
from runner.errors import InvalidOptionError
from runner.store.refusals import no_node, no_run

_REPLACED = "\N{REPLACEMENT CHARACTER}"


def is_kept(text: str) -> bool:
    """Whether every store can keep it."""
    if "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def sentence(text: str) -> str:
    """What every store can keep of a sentence."""
    return text if is_kept(text) else text.replace("\0", _REPLACED).encode("utf-8", "replace").decode()


def check_run(app: str, run: str) -> None:
    """Raise `NotFoundError` for a run that cannot exist."""
    if not is_kept(app) or not is_kept(run):
        raise no_run(app, run)


def check_node(name: str) -> None:
    """Raise `NotFoundError` for a node that cannot exist."""
    if not is_kept(name):
        raise no_node(name)


def check_name(name: str, what: str) -> None:
    """Raise `InvalidOptionError` for a name that no store could keep."""
    if not is_kept(name):
        raise InvalidOptionError(f"{what} must be of characters that can be stored, without U+0000: got {name!a:.200}")


def check_new(new: NewRun) -> None:
    """Raise `InvalidOptionError` for a run that no store could keep, naming what of it."""
    texts = [new.app, new.id, new.task, *new.tags]
    texts += filter(None, (new.queue, new.idempotency_key, new.parent, new.replay_of, new.schedule))
    if is_kept("".join(texts)):
        return
    for name in ("app", "id", "task", "queue", "idempotency_key", "parent", "replay_of", "schedule"):
        check_name(getattr(new, name) or "", name)
    for tag in new.tags:
        check_name(tag, "tag")


def can_match(wanted: RunFilter) -> bool:
    """Whether any run could pass the filter."""
    values = (wanted.app, *(getattr(wanted, name) for name in FILTERS))
    return all(is_kept(value) for value in values if isinstance(value, str))
