"""Runs with episodes whose logs are kept, as a fleet leaves them."""

import contextlib
from pathlib import Path

from metabonk.messages.workers import EpisodeReport
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import new_run, save_settings
from metabonk.settings import Settings


def write_replayable_run(
    folder: Path, game: str, episodes: list[tuple[float, bytes | None]]
) -> Path:
    """Create a run in ``folder/runs`` whose first worker played these episodes, a minute each.

    Args:
        folder: of the user.
        game: id of the game.
        episodes: return and log of each; None for a log that is not kept.

    Returns:
        Its folder.
    """
    settings = Settings.model_validate({"game": game, "paths": {"runs": folder / "runs"}})
    run_dir = new_run(settings)
    save_settings(settings, run_dir)
    with contextlib.closing(EpisodeStore(run_dir, game, max_log_bytes=1 << 20)) as store:
        store.record(
            [
                EpisodeReport(
                    worker_index=0,
                    episode=number,
                    total_reward=total_reward,
                    length=10,
                    step=10 * number,
                    policy_version=7,
                    ended_at=1_700_000_000.0 + 60 * number,
                    log=log,
                )
                for number, (total_reward, log) in enumerate(episodes, 1)
            ]
        )
    return run_dir
