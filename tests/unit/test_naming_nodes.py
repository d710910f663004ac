"""Which node somebody means, and what a node is called beside others."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.engine.api.node_documents import find_node
from runner.engine.nodes.node import Node
from runner.errors import ConflictError, NotFoundError
from runner.store.records import NodeState
from support.stores import node_info

NODES = (("alpha-1-aa", "alpha"), ("alpha-1-ab", "alpha"), ("alpine-2-bb", "alpine"), ("alpha-2-3-cc", "alpha-2"))


def state(node: str, name: str, *, buried: bool = False) -> NodeState:
    return NodeState(
        info=node_info(node, name=name), beat=1, draining=False, buried=buried, running=0, started_at=0, last_seen=0
    )


STATES = [*(state(*each) for each in NODES), state("zeta-1-zz", "zeta", buried=True)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("alpha", "alpha"),
        ("alpha-2", "alpha-2"),
        ("alpine-2-bb", "alpine-2-bb"),
        ("alpine-2", "alpine-2-bb"),
        ("alpi", "alpine-2-bb"),
        ("alpha-1-ab", "alpha-1-ab"),
        ("alpha-2-", "alpha-2-3-cc"),
    ],
)
def test_a_node_is_found_by_name_id_and_their_beginnings(wanted: str, found: str) -> None:
    assert find_node(STATES, wanted) == found


@pytest.mark.parametrize("wanted", ["al", "alp", "alpha-1"])
def test_a_beginning_that_several_have_is_refused_with_all_of_them(wanted: str) -> None:
    with pytest.raises(ConflictError, match="alpha-1-aa, alpha-1-ab"):
        find_node(STATES, wanted)


@pytest.mark.parametrize("wanted", ["", "x", "zeta", "zeta-1-zz", "lpha"])
def test_what_no_living_node_is_called_is_not_found_and_the_others_are_named(wanted: str) -> None:
    with pytest.raises(NotFoundError, match="there are alpha, alpha-2, alpine"):
        find_node(STATES, wanted)


def test_a_node_takes_the_first_number_that_is_free(tmp_path: Path) -> None:
    node = Node("here", tmp_path / "node")

    node.take_name({"there"})
    assert node.name == "here"
    node.take_name({"here", "here-2", "here-4"})
    assert node.name == "here-3"
