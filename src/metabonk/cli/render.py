"""``metabonk render``: renders one replay for viewers of a fleet, which starts it.

For ``--video FILE`` it writes, in this order::

    FILE.track      the policy's thoughts, ``ReplayTrack`` as JSON
    FILE.saliency   the policy's saliency maps as they are made; empty if there are none
    FILE.partial    the video, which plays while it grows
    FILE            the video once it is whole
    FILE.json       ``RenderOutcome`` as JSON, in any case
"""

import argparse
import contextlib
from pathlib import Path

from metabonk.cli.replay import video_size
from metabonk.errors import EpisodeDiffers, MetaBonkError, ReplayError
from metabonk.messages.base import Message
from metabonk.messages.replays import RenderOutcome
from metabonk.policy.episode_log import EpisodeLog
from metabonk.replays.rematch import play_rematch
from metabonk.replays.renderer import draw, opened_game
from metabonk.replays.saliency import SaliencyWriter, why_no_saliency
from metabonk.replays.track import make_track
from metabonk.replays.video import ReplayVideo
from metabonk.runs.checkpoints import checkpoint_of_version, trained_weights
from metabonk.runs.layout import SETTINGS_FILE
from metabonk.runs.render_files import RenderFiles
from metabonk.settings import read_usable_settings
from metabonk.system.files import PARTIAL_SUFFIX
from metabonk.system.process import die_with_parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is rendered, and where to."""
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--log", type=Path, required=True, help="log of the episode")
    parser.add_argument(
        "--rematch", action="store_true", help="the newest policy plays on the episode's seed"
    )
    parser.add_argument("--size", type=video_size, required=True, metavar="WxH")
    parser.add_argument("--video", type=Path, required=True, metavar="FILE")
    parser.add_argument("--parent", type=int, help="process that it ends with (pid)")


def run(arguments: argparse.Namespace) -> int:
    """Render, and write the outcome.

    Raises:
        MetaBonkError: there is no video; says why.
    """
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    try:
        _render(arguments)
    except MetaBonkError as error:
        outcome = RenderOutcome(outcome="failed", message=str(error))
        if isinstance(error, EpisodeDiffers):
            outcome.outcome, outcome.at_decision = "different", error.step
        with contextlib.suppress(OSError):  # A full disk; the error goes to the log.
            _publish(RenderFiles(arguments.video).outcome, outcome)
        raise
    _publish(RenderFiles(arguments.video).outcome, RenderOutcome(outcome="equal"))
    return 0


def _render(arguments: argparse.Namespace) -> None:
    try:
        log = EpisodeLog.from_bytes(arguments.log.read_bytes())
    except OSError as error:
        raise ReplayError(f"{arguments.log} can't be read: {error.strerror}") from None
    learning = read_usable_settings(arguments.run / SETTINGS_FILE)[0].learning
    files, has_end = RenderFiles(arguments.video), True
    policy: bytes | Path | None
    if arguments.rematch:
        policy = trained_weights(arguments.run)
        log, has_end = play_rematch(log, learning, policy)
    else:
        policy = checkpoint_of_version(arguments.run, log.policy_version)
    with opened_game(log.setup, learning, arguments.size) as game:
        pace = game.description.tics_per_s
        no_saliency = why_no_saliency(log, game.description, policy)
        track = make_track(log, game.description, no_saliency)
        try:
            _publish(files.track, track)
            with (
                SaliencyWriter(
                    files.saliency,
                    log,
                    track.times,
                    game.description,
                    learning,
                    None if no_saliency else policy,
                ) as maps,
                ReplayVideo(arguments.video, size=arguments.size, tics_per_s=pace) as video,
            ):
                draw(log, game, video, has_end=has_end, on_step=maps.add)
        except OSError as error:
            raise ReplayError(f"{arguments.video} can't be written: {error.strerror}") from None


def _publish(file: Path, message: Message) -> None:
    """Write a file that appears at once; it need not survive a power cut."""
    partial = file.with_name(file.name + PARTIAL_SUFFIX)
    partial.write_text(message.model_dump_json(), encoding="utf-8")
    partial.replace(file)
