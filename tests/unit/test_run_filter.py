"""All who take filters of runs take those of one table."""

from __future__ import annotations

from dataclasses import fields
from urllib.parse import parse_qs, urlsplit

import pytest

from runner.cli.commands.runs import list_
from runner.domain.options.run_filter import FILTERS, RunFilter, RunFilters, read_filters
from runner.errors import InvalidOptionError
from runner.sdk import http_calls


def test_what_editors_stores_and_the_command_line_know_is_in_the_table():
    assert set(RunFilters.__annotations__) == FILTERS.keys()
    assert {field.name for field in fields(RunFilter)} == FILTERS.keys() | {"app", "cursor", "limit"}
    assert FILTERS.keys() <= {parameter.name for parameter in list_.params}


@pytest.mark.parametrize(("name", "each"), FILTERS.items())
def test_a_filter_goes_from_the_client_to_the_stores_condition(name, each):
    written = list(each.choices[:2]) or "x"

    query = parse_qs(urlsplit(http_calls.runs(**{name: written}).path).query)
    wanted = RunFilter(app="main", **read_filters(lambda asked: query.get(asked, [])))

    assert getattr(wanted, name) == (frozenset(written) if each.choices else written)
    assert wanted.conditions(lambda value: f"<{value}>") == ([each.condition.format("<x>")] if each.condition else [])


def test_what_is_no_filter_is_refused():
    with pytest.raises(InvalidOptionError, match="tags is not a known filter of runs; did you mean tag"):
        http_calls.runs(tags="x")
    with pytest.raises(InvalidOptionError, match=r'status must be one of "scheduled", .*: got "done"'):
        read_filters(lambda name: ["done"] if name == "status" else [])
