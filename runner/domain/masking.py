"""Keeps the values of secrets out of what an attempt leaves behind: masked in text, located in data.

A value is known as it was written, line by line where it has several, and as `repr` and JSON would write it. Another
form of it (reversed, in base64, cut in two) is not known: a mask is a net under accidents, and no wall against a task
that means to give away what it was given.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping

#: A shorter line of a value is left as it is: it would be found in every other word.
SHORTEST = 4
_STARS = "***"


class Mask:
    """Knows the secrets of one attempt once it was told; until then, and without any, it changes nothing."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # each form of a value to the secret's name, longest first
        self._encoded: tuple[bytes, ...] = ()
        #: How many bytes the longest form takes.
        self.longest = 0

    def learn(self, secrets: Mapping[str, str]) -> None:
        """Know these secrets from now on."""
        forms = {form: name for name, value in secrets.items() for form in _forms(value)}
        self._names = {form: forms[form] for form in sorted(forms, key=len, reverse=True)}
        self._encoded = tuple(form.encode() for form in self._names)
        self.longest = max(map(len, self._encoded), default=0)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for form in self._names:
            text = text.replace(form, _STARS)
        return text

    def output(self, output: bytes) -> bytes:
        """The same for what a process wrote."""
        for form in self._encoded:
            output = output.replace(form, _STARS.encode())
        return output

    def begun(self, output: bytes) -> int:
        """How many bytes at the end of `output` may be the beginning of a secret."""
        return max((_overlap(output, form) for form in self._encoded), default=0)

    def find(self, text: str) -> str | None:
        """The name of a secret that the text holds, if it holds one."""
        return next((name for form, name in self._names.items() if form in text), None)

    def look_for(self, text: str) -> Generator[None, None, str | None]:
        """What `find` gives, of a long text, in steps."""
        for form, name in self._names.items():
            if form in text:
                return name
            yield
        return None

    def locate(self, value: object, name: str) -> str | None:
        """Where a value of JSON, called `name`, holds which secret, as the beginning of a sentence."""
        found = self._locate(value)
        return found and name + found

    def _locate(self, value: object) -> str | None:
        match value:
            case dict():
                for key, inner in value.items():
                    if (secret := self.find(key)) is not None:
                        return f" has a key that holds the secret {secret}"
                    if (found := self._locate(inner)) is not None:
                        return f"[{json.dumps(key[:60])}]{found}"
            case list():
                for index, inner in enumerate(value):
                    if (found := self._locate(inner)) is not None:
                        return f"[{index}]{found}"
            case str() if (secret := self.find(value)) is not None:
                return f" holds the secret {secret}"
            case int() | float() if (secret := self._names.get(str(value))) is not None:
                return f" is the secret {secret}"
        return None


def is_maskable(value: str) -> bool:
    """Whether there is enough of a value to find it again."""
    return next(_forms(value), None) is not None


def _overlap(output: bytes, form: bytes) -> int:
    place = max(len(output) - len(form), 0)
    while (place := output.find(form[:1], place)) >= 0:
        if form.startswith(output[place:]):
            return len(output) - place
        place += 1
    return 0


def _forms(value: str) -> Iterator[str]:
    # A return ends a line of output too.
    for line in dict.fromkeys((*value.split("\n"), *value.replace("\r", "\n").split("\n"))):
        if len(plain := line.strip()) >= SHORTEST:
            yield plain
            yield from (repr(plain)[1:-1], ascii(plain)[1:-1], repr(plain.encode())[2:-1])
            yield from (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])
