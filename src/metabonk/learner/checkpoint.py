"""Files that a run is continued from: written whole or not at all."""

import contextlib
import dataclasses
import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from metabonk.errors import CheckpointError, PolicyError, WireError
from metabonk.learner.ppo import Counters, Learner
from metabonk.policy.rollout import EndedEpisode
from metabonk.policy.serialization import Array, pack, unpack
from metabonk.policy.weights import (
    NETWORK,
    WeightsHeader,
    network_arrays,
    put_tensors,
)
from metabonk.runs.layout import (
    BEST_CHECKPOINT,
    CHECKPOINT_SUFFIX,
    CHECKPOINTS_DIR,
    checkpoint_files,
)
from metabonk.system.files import write_atomically

log = logging.getLogger(__name__)

FORMAT = 1
KEPT = 3
"""Newest checkpoints that are kept."""

OPTIMIZER = "optimizer/"
RANDOM = "random/minibatches"


class CheckpointHeader(WeightsHeader):
    """What a checkpoint says of itself.

    Attributes:
        kind: tells it from weights.
        format: of the file; a larger one is from a newer MetaBonk.
        counters: of the learner, see ``Counters``.
        learning: the settings it learned with, for people.
        created_at: Unix time, seconds.
        mean_return: unshaped, of the last episodes before it; None where there were none.
    """

    kind: Literal["checkpoint"] = "checkpoint"
    format: int = FORMAT
    counters: dict[str, int]
    learning: dict[str, Any]
    created_at: float = Field(default_factory=time.time)
    mean_return: float | None = None


def save_checkpoint(learner: Learner, run_dir: Path, mean_return: float | None = None) -> Path:
    """Writes everything that learning goes on from, and removes the oldest checkpoints.

    Args:
        learner: as it is now.
        run_dir: folder of the run.
        mean_return: of its last episodes, for people; None before the first.

    Returns:
        The file. Its name sorts by age.

    Raises:
        CheckpointError: it can't be written, for example because the disk is full; the earlier
            ones are untouched.
    """
    counters = learner.counters
    name = f"{counters.steps_trained:012d}-{counters.version:08d}{CHECKPOINT_SUFFIX}"
    file = run_dir / CHECKPOINTS_DIR / name
    _write(learner, file, mean_return)
    for old in checkpoint_files(run_dir)[KEPT:]:
        # One that can't be removed costs space; the next save tries again.
        with contextlib.suppress(OSError):
            old.unlink(missing_ok=True)
    return file


def save_best(learner: Learner, run_dir: Path, mean_return: float) -> Path:
    """Writes the checkpoint of the best mean return so far, in the place of the one before.

    Raises:
        CheckpointError: it can't be written; the one before is untouched.
    """
    file = run_dir / BEST_CHECKPOINT
    _write(learner, file, mean_return)
    return file


def best_return(run_dir: Path) -> float | None:
    """The mean return of the best checkpoint of a run; None without one that can be read."""
    try:
        _, header = unpack((run_dir / BEST_CHECKPOINT).read_bytes(), CheckpointHeader)
    except (OSError, WireError):
        return None
    return header.mean_return


def _write(learner: Learner, file: Path, mean_return: float | None) -> None:
    """A power cut leaves the new file whole or absent, never an old one spoilt."""
    arrays = _arrays(learner)
    counters = learner.counters
    header = CheckpointHeader(
        version=counters.version,
        spec=learner.spec,
        counters=dataclasses.asdict(counters),
        learning=learner.settings.model_dump(mode="json"),
        mean_return=mean_return,
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, pack(arrays, header, sealed=True))
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint {file} can't be written: {error.strerror or error}"
        ) from None


def restore_newest(learner: Learner, run_dir: Path) -> Path | None:
    """Continues from the newest checkpoint of a run that is whole; damaged ones are passed over.

    Returns:
        The file, or None when the run has no checkpoint.

    Raises:
        CheckpointError: the newest whole one is for another game or network, or all are damaged.
    """
    files = checkpoint_files(run_dir)
    for file in files:
        try:
            data = file.read_bytes()
            arrays, header = unpack(data, CheckpointHeader)
        except (OSError, WireError) as error:
            log.warning("the checkpoint %s is damaged and passed over: %s", file, error)
            continue
        _restore(learner, arrays, header, file)
        return file
    if files:
        raise CheckpointError(
            f"none of the {len(files)} checkpoints in {files[0].parent} can be read. "
            "Restore them from a copy, or start a new run"
        )
    return None


def _restore(
    learner: Learner, arrays: dict[str, Array], header: CheckpointHeader, file: Path
) -> None:
    refusal = f"the checkpoint {file} can't be continued"
    if header.format > FORMAT:
        raise CheckpointError(
            f"{refusal}: it has format {header.format}, from a newer MetaBonk; this one knows "
            f"{FORMAT}. Update MetaBonk"
        )
    if difference := learner.spec.difference(header.spec):
        raise CheckpointError(f"{refusal}: {difference}")
    try:
        counters = Counters(**header.counters)
    except TypeError as error:
        raise CheckpointError(f"{refusal}: its counters are not known: {error}") from None
    network = {n.removeprefix(NETWORK): a for n, a in arrays.items() if n.startswith(NETWORK)}
    try:
        put_tensors(learner.network, network, "its weights")
    except PolicyError as error:
        raise CheckpointError(f"{refusal}: {error}") from None
    learner.optimizer.load_state_dict(_optimizer_state(learner, arrays))
    if RANDOM in arrays:
        learner.random.set_state(torch.from_numpy(arrays[RANDOM]))
    learner.counters = counters


def _arrays(learner: Learner) -> dict[str, Array]:
    arrays = network_arrays(learner.network)
    names = [name for name, _ in learner.network.named_parameters()]
    for index, moments in learner.optimizer.state_dict()["state"].items():
        for moment, tensor in moments.items():
            arrays[f"{OPTIMIZER}{moment}/{names[index]}"] = tensor.cpu().numpy()
    arrays[RANDOM] = learner.random.get_state().numpy()
    return arrays


def _optimizer_state(learner: Learner, arrays: dict[str, Array]) -> dict[str, Any]:
    """The optimiser's state from a checkpoint, with the learning rate of the settings now."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for index, (name, _) in enumerate(learner.network.named_parameters()):
        moments = {
            full.split("/")[1]: torch.from_numpy(array)
            for full, array in arrays.items()
            if full.startswith(OPTIMIZER) and full.endswith(f"/{name}")
        }
        if moments:
            state[index] = moments
    return {"state": state, "param_groups": learner.optimizer.state_dict()["param_groups"]}


BEST_PAUSE_S = 10.0
"""At least, between two checkpoints of the best policy: while it learns, each update is better."""


class Checkpointer:
    """Writes checkpoints of one run.

    A disk that is full must not end a run that goes on in memory.

    Args:
        learner: that is saved.
        run_dir: folder of the run.
        clock: seconds, monotonic.

    Attributes:
        returns: of the last episodes.
        error: why the last checkpoint was not written; None where it was.
    """

    def __init__(
        self, learner: Learner, run_dir: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.returns = ReturnTracker()
        self.error: str | None = None
        self._learner = learner
        self._run_dir = run_dir
        self._clock = clock
        self._saved_at = self._best_at = clock()
        self._best = best_return(run_dir)

    def save_when_due(self) -> None:
        """Writes what is due now."""
        now = self._clock()
        if now - self._saved_at >= self._learner.settings.checkpoint_interval_s:
            self._saved_at = now
            self.save()
        mean = self.returns.mean
        if mean is None or not self.returns.complete or now - self._best_at < BEST_PAUSE_S:
            return
        if self._best is None or mean > self._best:
            self._best, self._best_at = mean, now
            self._write(lambda: save_best(self._learner, self._run_dir, mean))

    def save(self) -> None:
        """Writes a checkpoint, unless nothing has been learned yet."""
        if self._learner.counters.updates:
            self._write(lambda: save_checkpoint(self._learner, self._run_dir, self.returns.mean))

    def _write(self, save: Callable[[], Path]) -> None:
        try:
            file = save()
        except CheckpointError as error:
            self.error = str(error)
            log.error("%s. Training goes on; the next attempt is the next checkpoint", error)
        else:
            self.error = None
            log.info("wrote %s", file)


WINDOW = 100
"""Episodes that a mean is taken over."""


class ReturnTracker:
    """The last episodes of all games."""

    def __init__(self) -> None:
        self._newest: deque[EndedEpisode] = deque(maxlen=WINDOW)

    def add(self, episodes: Iterable[EndedEpisode]) -> None:
        """Takes episodes, oldest first."""
        self._newest.extend(episodes)

    @property
    def complete(self) -> bool:
        """Whether the window is full, so that its mean can be told from luck."""
        return len(self._newest) == WINDOW

    @property
    def mean(self) -> float | None:
        """Mean unshaped return of the window; None before the first episode."""
        return statistics.fmean(e.total_reward for e in self._newest) if self._newest else None

    @property
    def mean_length(self) -> float | None:
        """Mean decisions of the window's episodes; None before the first."""
        return statistics.fmean(e.length for e in self._newest) if self._newest else None
