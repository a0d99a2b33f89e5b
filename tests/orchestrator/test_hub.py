"""When a hub ends by itself."""

from metabonk.orchestrator.hub import Idleness


def test_a_hub_ends_a_while_after_the_last_broadcast():
    idleness = Idleness(30.0, 100.0)
    assert not idleness.is_over(0, 129.9)
    assert not idleness.is_over(2, 140.0)
    assert not idleness.is_over(0, 169.9)
    assert idleness.is_over(0, 170.0)


def test_one_without_a_limit_does_not():
    assert not Idleness(None, 0.0).is_over(0, 1e9)
