"""Clocks of a head and its nodes that don't agree. Pure."""

from collections.abc import Iterator

from metabonk.messages.base import Problem

CLOCKS_AGREE_S = 2.0
"""Clocks that differ by less need no mention; a report is on its way meanwhile."""


def clock_problems(whose: str, ahead_s: float) -> Iterator[Problem]:
    """Yield the problem of a clock that differs.

    Args:
        whose: machine that has it, as seen from the head.
        ahead_s: of the head's.
    """
    if abs(ahead_s) >= CLOCKS_AGREE_S:
        direction = "ahead of" if ahead_s > 0 else "behind"
        yield Problem(
            message=f"the clock of {whose} is {abs(ahead_s):.0f} s {direction} the head's; "
            "the times of its episodes are corrected",
            action="synchronize it, as with 'timedatectl set-ntp true'",
        )
