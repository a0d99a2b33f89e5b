"""Nodes, their epochs, and who may run which worker."""

import pytest

from metabonk.messages.nodes import JoinRequest, NodeResources
from metabonk.orchestrator.nodes.table import (
    FORGOTTEN_AFTER_S,
    LOST_AFTER_S,
    SILENT_AFTER_S,
    VOID_AFTER_S,
    NodeRefused,
    NodeTable,
    StaleEpoch,
)


def request(node: str, agent: str = "one", machine: str | None = None) -> JoinRequest:
    return JoinRequest(
        version="1",
        node=node,
        agent=agent,
        machine=machine or f"machine of {node}",
        port=8070,
        resources=NodeResources(cores=4),
    )


def joined(table: NodeTable, node: str, now: float = 0.0, **given: str) -> int:
    return table.join(request(node, **given), f"http://{node}:8070", now)


@pytest.fixture
def table() -> NodeTable:
    """Four workers on two nodes."""
    table = NodeTable(workers=4, expected=2)
    joined(table, "a")
    joined(table, "b")
    return table


def test_nothing_is_given_away_before_all_nodes_are_there():
    table = NodeTable(workers=4, expected=2)
    joined(table, "a")
    assert table.missing() == 1 and table.orders(table.nodes["a"]) == []
    joined(table, "b")
    assert table.missing() == 0
    assert [table.orders(table.nodes[name]) for name in "ab"] == [[0, 1], [2, 3]]


def test_a_message_of_another_epoch_is_stale(table: NodeTable):
    assert table.require("a", 1).name == "a"
    for name, epoch in (("a", 2), ("b", 1), ("c", 1)):
        with pytest.raises(StaleEpoch):
            table.require(name, epoch)


def test_a_silent_node_keeps_its_workers_until_its_agent_has_surely_ended_them(table: NodeTable):
    b = table.nodes["b"]
    table.hear(b, [2, 3], VOID_AFTER_S - 1)
    a = table.nodes["a"]
    assert (a.state(1), a.state(SILENT_AFTER_S), a.state(LOST_AFTER_S)) == (
        *("present", "silent", "lost"),
    )
    assert list(table.expire(VOID_AFTER_S - 1)) == []
    assert table.orders(b) == [2, 3]
    assert list(table.expire(VOID_AFTER_S)) == [a]
    assert table.orders(b) == [0, 1, 2, 3]
    with pytest.raises(StaleEpoch):
        table.require("a", 1)


def test_a_node_that_returns_gets_its_workers_once_the_others_have_ended_them(table: NodeTable):
    b = table.nodes["b"]
    table.hear(b, [2, 3], VOID_AFTER_S)
    list(table.expire(VOID_AFTER_S))
    table.hear(b, [0, 1, 2, 3], VOID_AFTER_S)
    joined(table, "a", VOID_AFTER_S + 1)
    a = table.nodes["a"]
    assert (table.orders(a), table.orders(b)) == ([], [2, 3])
    table.hear(b, [1, 2, 3], VOID_AFTER_S + 1)
    assert table.orders(a) == [0]
    table.hear(b, [2, 3], VOID_AFTER_S + 1)
    assert (table.orders(a), table.orders(b)) == ([0, 1], [2, 3])


def test_an_agent_that_was_restarted_on_its_machine_gets_the_same_workers(table: NodeTable):
    with pytest.raises(NodeRefused, match="a node a is there already, at http://a:8070"):
        joined(table, "a", 1.0, agent="two")
    epoch = joined(table, "a", SILENT_AFTER_S, agent="two")
    assert epoch == 3 and table.orders(table.nodes["a"]) == [0, 1]


def test_another_machine_of_the_same_name_waits_until_the_first_is_lost(table: NodeTable):
    with pytest.raises(NodeRefused, match="--name"):
        joined(table, "a", SILENT_AFTER_S, agent="two", machine="another")
    joined(table, "a", LOST_AFTER_S, agent="two", machine="another")
    assert table.orders(table.nodes["a"]) == [0, 1]


def test_a_node_that_leaves_frees_its_workers_at_once(table: NodeTable):
    table.leave("a")
    assert table.orders(table.nodes["b"]) == [0, 1, 2, 3]


def test_a_node_that_comes_later_gets_its_share(table: NodeTable):
    joined(table, "c")
    a, b, c = (table.nodes[name] for name in "abc")
    assert table.orders(c) == []
    for node, running in ((a, table.orders(a)), (b, table.orders(b))):
        table.hear(node, running, 1.0)
    assert sorted([*table.orders(a), *table.orders(b), *table.orders(c)]) == [0, 1, 2, 3]
    assert len(table.orders(c)) == 1


def test_a_node_that_never_returns_is_listed_for_a_while(table: NodeTable):
    b = table.nodes["b"]
    table.hear(b, [], FORGOTTEN_AFTER_S)
    list(table.expire(FORGOTTEN_AFTER_S - 1))
    assert table.nodes["a"].state(FORGOTTEN_AFTER_S - 1) == "lost"
    list(table.expire(FORGOTTEN_AFTER_S))
    assert list(table.nodes) == ["b"]
    # Its home is not forgotten.
    joined(table, "a", FORGOTTEN_AFTER_S)
    table.hear(b, [2, 3], FORGOTTEN_AFTER_S)
    assert table.orders(table.nodes["a"]) == [0, 1]


def test_when_the_last_node_is_gone_the_workers_wait(table: NodeTable):
    assert {node.name for node in table.expire(VOID_AFTER_S)} == {"a", "b"}
    assert table.holders == {}
    joined(table, "b", VOID_AFTER_S + 1)
    assert table.orders(table.nodes["b"]) == [0, 1, 2, 3]
