from metabonk.program.cutter import CARD_AFTER_S, QUIET_S, Cutter, Verdict

FRAME_S = 1 / 30


def started(*order: str) -> Cutter:
    """Return a cutter that shows ``a`` since 0.0."""
    cutter = Cutter(-FRAME_S)
    cutter.set_order(order)
    assert cutter.judge("a", 0.0, keyframe=True) is Verdict.CUT
    return cutter


def test_a_source_is_shown_from_a_keyframe_on():
    cutter = Cutter(0.0)
    cutter.set_order(["a"])
    assert cutter.judge("a", 0.1, keyframe=False) is Verdict.AWAITS_KEYFRAME
    assert cutter.judge("a", 0.2, keyframe=True) is Verdict.CUT
    assert cutter.judge("a", 0.3, keyframe=False) is Verdict.SHOWN


def test_the_one_before_goes_on_until_a_keyframe_of_its_successor():
    cutter = started("b", "a")
    assert cutter.judge("b", 0.01, keyframe=False) is Verdict.AWAITS_KEYFRAME
    assert cutter.judge("a", 0.02, keyframe=False) is Verdict.SHOWN
    assert cutter.judge("b", 0.03, keyframe=True) is Verdict.CUT
    assert cutter.judge("a", 0.04, keyframe=True) is Verdict.DROPPED


def test_a_lesser_source_takes_over_only_from_one_that_is_silent():
    cutter = started("a", "b")
    assert cutter.judge("b", QUIET_S - 0.01, keyframe=True) is Verdict.DROPPED
    assert cutter.judge("b", QUIET_S, keyframe=True) is Verdict.CUT
    assert cutter.judge("a", QUIET_S + 0.01, keyframe=True) is Verdict.CUT


def test_a_source_whose_stream_ended_starts_again_with_a_keyframe():
    cutter = started("a")
    cutter.lose("a")
    assert cutter.judge("a", 0.1, keyframe=False) is Verdict.AWAITS_KEYFRAME


def test_a_source_that_may_not_be_shown_is_dropped():
    assert started("a").judge("c", 5.0, keyframe=True) is Verdict.DROPPED


def test_the_card_comes_before_a_gap_is_noticed():
    cutter = started("a")
    assert not cutter.is_card_due(CARD_AFTER_S - 0.01)
    assert cutter.is_card_due(CARD_AFTER_S)
    assert cutter.is_card_due(CARD_AFTER_S + 0.01)


def test_after_the_card_a_source_starts_with_a_keyframe_as_its_references_were_replaced():
    cutter = started("a")
    assert cutter.is_card_due(2.0)
    assert cutter.judge("a", 2.1, keyframe=False) is Verdict.AWAITS_KEYFRAME
    assert cutter.judge("a", 2.2, keyframe=True) is Verdict.CUT
    assert not cutter.is_card_due(2.3)


def test_a_source_that_came_and_went_has_replaced_the_references_of_the_card():
    cutter = started("a")
    assert not cutter.shows_card
    assert cutter.is_card_due(2.0) and cutter.shows_card
    assert cutter.judge("a", 2.1, keyframe=True) is Verdict.CUT
    cutter.lose("a")
    assert cutter.in_front is None and not cutter.shows_card
    assert cutter.is_card_due(2.1 + CARD_AFTER_S) and cutter.shows_card
