"""What a mask finds, in text, in output and in data."""

from __future__ import annotations

import json

import pytest

from runner.domain.masking import Mask, is_maskable


def mask_of(**secrets: str) -> Mask:
    mask = Mask()
    mask.learn(secrets)
    return mask


def test_a_mask_that_knows_nothing_changes_nothing() -> None:
    assert Mask().text("text") == "text"
    assert Mask().output(b"out") == b"out"
    assert Mask().locate(["a"], "result") is None


@pytest.mark.parametrize(
    "write", [str, repr, ascii, json.dumps, lambda value: repr(value.encode()), lambda v: repr([v])]
)
def test_a_value_is_found_however_python_writes_it(write) -> None:
    value = "q'uo\"te\\ tab\there é\x7f"

    assert value not in (masked := mask_of(A=value).text(f"<{write(value)}>"))
    assert masked.strip("<>[]b'\"") == "***"


def test_of_two_values_the_longer_one_goes_first() -> None:
    assert mask_of(A="pass", B="password").text("password pass passwords") == "*** *** ***s"


def test_each_line_of_a_value_is_masked_and_what_is_too_short_is_left() -> None:
    assert mask_of(A="first line\n  second line\r\nab\n").text("a second line, ab, first line") == "a ***, ab, ***"


def test_a_value_with_nothing_to_find_again_is_known_as_such() -> None:
    values = ("abcd", "a\nbcde", "abc", "ab\ncd\n", "")
    assert [value for value in values if is_maskable(value)] == ["abcd", "a\nbcde"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": ["x", {"b": "my 12345!"}]}, 'result["a"][1]["b"] holds the secret PIN'),
        ({"a": {"12345": 1}}, 'result["a"] has a key that holds the secret PIN'),
        ([0, 12345], "result[1] is the secret PIN"),
        ("12345", "result holds the secret PIN"),
        ([123456, 1.5, None, True, "1234"], None),
    ],
)
def test_a_secret_in_data_is_located(value: object, found: str | None) -> None:
    assert mask_of(PIN="12345").locate(value, "result") == found
