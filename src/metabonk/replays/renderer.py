"""Repeats an episode from its log, drawn, and compares what comes of it."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import TypeAlias

from metabonk.errors import EpisodeDiffers, ReplayError
from metabonk.frame import Frame
from metabonk.games import FrameSink, Game, Observation, Transition, game_versions, make_game
from metabonk.policy.episode_log import EpisodeLog, EpisodeSetup, checksum_of, rounded
from metabonk.replays.video import ReplayVideo
from metabonk.settings.learning import Learning

TicSink: TypeAlias = Callable[[int, Callable[[], Frame]], None]
"""Consumer of a tic, by its number in the episode: calls the function at once to have it drawn, or
leaves it undrawn. Tic 0 is the beginning."""

StepSink: TypeAlias = Callable[[int, Observation, Transition], None]
"""Consumer of a step that came out as it was played: its number, the observation that it was
decided on, and what it led to."""


@contextlib.contextmanager
def opened_game(
    setup: EpisodeSetup, learning: Learning, size: tuple[int, int] | None = None
) -> Iterator[Game]:
    """Make the game of an episode as it was made to play it, and close it again.

    Args:
        setup: of the episode; overrules ``learning``.
        learning: settings of the run.
        size: to be drawn at, see ``Game.set_render_size``.

    Raises:
        GameError: it can't be made here.
        ReplayError: it has other actions here than the one that was played.
    """
    learning = learning.model_copy(
        update={"env_args": setup.env_args, "frame_skip": setup.frame_skip}
    )
    with contextlib.closing(make_game(setup.game, learning, render_size=size)) as game:
        here = EpisodeSetup.of(game.description, learning)
        if _actions(here) != _actions(setup):
            raise ReplayError(
                f"the episode can't be repeated: {setup.game} has other actions here than when it "
                f"was played{_of_other_versions(setup)}"
            )
        yield game


def draw(
    log: EpisodeLog,
    game: Game,
    video: ReplayVideo,
    *,
    first_tic: int = 0,
    has_end: bool = True,
    on_tic: Callable[[int], None] | None = None,
    on_step: StepSink | None = None,
) -> int:
    """Add an episode to a video, repeated from its log.

    Args:
        log: of the episode.
        game: from ``opened_game``.
        video: to be added to. An error must leave none behind.
        first_tic: of the video that the episode begins at.
        has_end: see ``repeat``.
        on_tic: receives the number of every tic.
        on_step: see ``repeat``.

    Returns:
        The tic of the video after the last.

    Raises:
        EpisodeDiffers: it did not come out as it was played.
        GameError: the game failed.
        EncodingError: the video can't be written.
    """

    def show(tic: int, draw_frame: Callable[[], Frame]) -> None:
        if video.shows(first_tic + tic):
            video.add(draw_frame(), first_tic + tic)
        if on_tic is not None:
            on_tic(tic)

    repeat(log, game, show, has_end=has_end, on_step=on_step)
    last_tic = first_tic + int(log.tics.sum())
    video.hold(last_tic)
    return last_tic + 1


def repeat(
    log: EpisodeLog,
    game: Game,
    on_tic: TicSink,
    *,
    has_end: bool = True,
    on_step: StepSink | None = None,
) -> None:
    """Play an episode from its log.

    Every reward is compared at once, rounded as the log has it; at the end all of them exactly.

    Args:
        log: of the episode.
        game: from ``opened_game``.
        on_tic: receives every tic.
        has_end: the episode ended with the log's last step; False: it went on.
        on_step: receives every step once its reward is known to be right.

    Raises:
        EpisodeDiffers: it did not come out as it was played.
        GameError: the game failed.
    """
    game.restore_carried_state(log.carried)
    observation = game.reset(log.seed)
    on_tic(0, game.frame)
    rewards, total_reward, tics, is_over = list[float](), 0.0, 0, False
    for step in range(len(log)):
        transition = game.step(log.action(step), _numbered(on_tic, tics + 1))
        reward, played = float(rounded(transition.reward)), float(log.rewards[step])
        if reward != played:
            raise _differs(log, step, f"the reward is {reward:g} and was {played:g}")
        is_over = transition.terminated or transition.truncated
        if is_over and step + 1 < len(log):
            raise _differs(log, step, "the episode ends and did not")
        if on_step is not None:
            on_step(step, observation, transition)
        observation = transition.observation
        rewards.append(transition.reward)
        total_reward += transition.reward
        tics += int(log.tics[step])
    if has_end and not is_over:
        raise _differs(log, len(log) - 1, "the episode goes on and did not")
    if checksum_of(rewards) != log.checksum or total_reward != log.total_reward:
        difference = "a reward differs by less than a percent"
        if total_reward != log.total_reward:
            difference = f"the return is {total_reward} and was {log.total_reward}"
        raise _differs(log, len(log) - 1, difference)


def _numbered(on_tic: TicSink, first: int) -> FrameSink:
    """Return a consumer of tics that numbers them."""
    numbers = itertools.count(first)
    return lambda draw_frame: on_tic(next(numbers), draw_frame)


def _differs(log: EpisodeLog, step: int, difference: str) -> EpisodeDiffers:
    cause = _of_other_versions(log.setup) or (
        "; the versions are the same, so the game depends on something besides its seed, or the "
        "log is damaged"
    )
    return EpisodeDiffers(
        f"{log.setup.game} did not come out as it was played, so there is no video of it: in step "
        f"{step + 1} of {len(log)} {difference}{cause}",
        step,
    )


def _of_other_versions(setup: EpisodeSetup) -> str:
    """Return the versions that differ here, as the end of a sentence; empty if none does."""
    here = game_versions(setup.game)
    names = sorted(setup.versions.keys() | here.keys())
    changed = [
        f"{name} {setup.versions.get(name, 'none')}, here {here.get(name, 'none')}"
        for name in names
        if setup.versions.get(name) != here.get(name)
    ]
    return f" (played with {'; '.join(changed)})" if changed else ""


def _actions(setup: EpisodeSetup) -> tuple[object, ...]:
    return setup.action_kind, setup.action_sizes, setup.axes
