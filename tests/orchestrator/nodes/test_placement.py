"""Workers spread over nodes."""

from metabonk.messages.nodes import NodeResources
from metabonk.orchestrator.nodes.placement import place, shares, weight


def test_a_node_weighs_its_cores_and_more_for_gpus_and_sessions():
    assert weight(NodeResources(cores=8)) == 8
    assert weight(NodeResources(cores=8, sessions=3)) == 11
    assert weight(NodeResources(cores=2, sessions=12)) == 4
    assert weight(NodeResources(cores=16, gpus=["H200", "H200"])) == 24
    assert weight(NodeResources(cores=2, gpus=["H200"], sessions=2)) == 6


def test_every_worker_is_placed_in_proportion_to_the_weights():
    assert shares(64, {"a": 2, "b": 2, "c": 2, "d": 2}) == dict.fromkeys("abcd", 16)
    assert shares(5, {"a": 3, "b": 1}) == {"a": 4, "b": 1}
    assert shares(1, {"a": 1, "b": 1}) == {"a": 1, "b": 0}
    assert sum(shares(7, {"a": 5, "b": 3, "c": 1}).values()) == 7


def test_without_nodes_nothing_is_placed():
    assert place(3, {}, {}, {}) == {}


def test_at_first_each_node_gets_neighbours():
    assert place(4, {"a": 1, "b": 1}, {}, {}) == {0: "a", 1: "a", 2: "b", 3: "b"}


def test_workers_of_a_lost_node_go_to_others_and_come_home():
    homes = {0: "a", 1: "a", 2: "b", 3: "b"}
    alone = place(4, {"b": 1}, homes, {2: "b", 3: "b"})
    assert alone == dict.fromkeys(range(4), "b")
    assert place(4, {"a": 1, "b": 1}, homes, alone) == homes


def test_a_new_node_takes_as_few_as_possible():
    homes = {0: "a", 1: "a", 2: "b", 3: "b"}
    placed = place(4, {"a": 1, "b": 1, "c": 2}, homes, homes)
    moved = [index for index in range(4) if placed[index] != homes[index]]
    assert [placed[index] for index in moved] == ["c", "c"]


def test_a_worker_far_from_home_stays_where_it_is():
    homes = {0: "gone", 1: "gone", 2: "b", 3: "c"}
    holders = {0: "c", 1: "b", 2: "b", 3: "c"}
    assert place(4, {"b": 1, "c": 1}, homes, holders) == holders
