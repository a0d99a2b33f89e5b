"""Checkpoints: files that a run is resumed from, written atomically."""

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
from metabonk.policy.rollout import EpisodeEnd
from metabonk.policy.serialization import Array, pack, unpack
from metabonk.policy.weights import (
    WeightsHeader,
    load_arrays,
    network_arrays,
    network_tensors,
    with_current_names,
)
from metabonk.runs.layout import (
    BEST_CHECKPOINT,
    CHECKPOINT_SUFFIX,
    CHECKPOINTS_DIR,
    checkpoint_files,
)
from metabonk.system.files import remove_partials, write_atomically

log = logging.getLogger(__name__)

FORMAT = 1
KEPT_CHECKPOINTS = 3
"""Number of newest checkpoints to keep."""

BEST_INTERVAL_S = 10.0
"""Shortest time between two best checkpoints: early on, every update is better."""

RETURN_WINDOW = 100
"""Episodes in a mean return."""

OPTIMIZER = "optimizer/"
MINIBATCH_RNG = "random/minibatches"


class CheckpointHeader(WeightsHeader):
    """Header of a checkpoint.

    Attributes:
        kind: distinguishes it from plain weights.
        format: of the file; a larger one is from a newer MetaBonk.
        counters: of the learner, see ``Counters``.
        learning: its settings, for the record.
        created_at: Unix time, seconds.
        mean_return: unshaped, of the episodes before it; None if there were none.
    """

    kind: Literal["checkpoint"] = "checkpoint"
    format: int = FORMAT
    counters: dict[str, int]
    learning: dict[str, Any]
    created_at: float = Field(default_factory=time.time)
    mean_return: float | None = None


def save_checkpoint(learner: Learner, run_dir: Path, mean_return: float | None = None) -> Path:
    """Write everything needed to resume, and remove the oldest checkpoints.

    Args:
        learner: to save.
        run_dir: folder of the run.
        mean_return: of the last episodes, for the record; None before the first.

    Returns:
        The file. Its name sorts by age.

    Raises:
        CheckpointError: it can't be written, for instance because the disk is full; earlier
            checkpoints are untouched.
    """
    counters = learner.counters
    name = f"{counters.steps_trained:012d}-{counters.version:08d}{CHECKPOINT_SUFFIX}"
    file = run_dir / CHECKPOINTS_DIR / name
    _write(learner, file, mean_return)
    for old in checkpoint_files(run_dir)[KEPT_CHECKPOINTS:]:
        # One that can't be removed only costs space; the next save tries again.
        with contextlib.suppress(OSError):
            old.unlink(missing_ok=True)
    return file


def save_best(learner: Learner, run_dir: Path, mean_return: float) -> Path:
    """Replace the checkpoint of the best mean return so far.

    Raises:
        CheckpointError: it can't be written; the previous one is untouched.
    """
    file = run_dir / BEST_CHECKPOINT
    _write(learner, file, mean_return)
    return file


def best_return(run_dir: Path) -> float | None:
    """Return the mean return of a run's best checkpoint; None without a readable one."""
    try:
        _, header = unpack((run_dir / BEST_CHECKPOINT).read_bytes(), CheckpointHeader)
    except (OSError, WireError):
        return None
    return header.mean_return


def _write(learner: Learner, file: Path, mean_return: float | None) -> None:
    """Write a checkpoint; after a power cut the file is complete or absent."""
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
        write_atomically(file, pack(arrays, header, with_checksum=True))
    except OSError as error:
        raise CheckpointError(f"can't write checkpoint {file}: {error.strerror or error}") from None


def restore_newest(learner: Learner, run_dir: Path) -> Path | None:
    """Resume from the newest readable checkpoint of a run, skipping corrupt ones.

    Returns:
        The file, or None if the run has no checkpoint.

    Raises:
        CheckpointError: the newest readable one is for another game or network, or all are corrupt.
    """
    files = checkpoint_files(run_dir)
    for file in files:
        try:
            data = file.read_bytes()
            arrays, header = unpack(data, CheckpointHeader)
        except (OSError, WireError) as error:
            log.warning("checkpoint %s is corrupt and was skipped: %s", file, error)
            continue
        _restore(learner, arrays, header, file)
        return file
    if files:
        raise CheckpointError(
            f"none of the {len(files)} checkpoints in {files[0].parent} is readable. "
            "Restore one from a backup, or start a new run"
        )
    return None


def _restore(
    learner: Learner, arrays: dict[str, Array], header: CheckpointHeader, file: Path
) -> None:
    refusal = f"can't resume from checkpoint {file}"
    if header.format > FORMAT:
        raise CheckpointError(
            f"{refusal}: its format {header.format} is from a newer MetaBonk; this one reads up to "
            f"{FORMAT}. Update MetaBonk"
        )
    if difference := learner.spec.difference(header.spec):
        raise CheckpointError(f"{refusal}: {difference}")
    # A later version may count more.
    known = {field.name for field in dataclasses.fields(Counters)}
    counters = Counters(**{name: n for name, n in header.counters.items() if name in known})
    try:
        load_arrays(learner.network, network_tensors(arrays), "its weights")
    except PolicyError as error:
        raise CheckpointError(f"{refusal}: {error}") from None
    learner.optimizer.load_state_dict(_optimizer_state(learner, arrays))
    if MINIBATCH_RNG in arrays:
        learner.random.set_state(torch.from_numpy(arrays[MINIBATCH_RNG]))
    learner.counters = counters


def _arrays(learner: Learner) -> dict[str, Array]:
    arrays = network_arrays(learner.network)
    names = [name for name, _ in learner.network.named_parameters()]
    for index, moments in learner.optimizer.state_dict()["state"].items():
        for moment, tensor in moments.items():
            arrays[f"{OPTIMIZER}{moment}/{names[index]}"] = tensor.cpu().numpy()
    arrays[MINIBATCH_RNG] = learner.random.get_state().numpy()
    return arrays


def _optimizer_state(learner: Learner, arrays: dict[str, Array]) -> dict[str, Any]:
    """Return the optimizer's state from a checkpoint, with the current learning rate."""
    arrays = with_current_names(arrays)
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


class Checkpointer:
    """Schedule of the checkpoints of a run.

    A full disk doesn't end a run, which continues in memory.

    Args:
        learner: to save.
        run_dir: folder of the run.
        clock: monotonic seconds.

    Attributes:
        returns: of the last episodes.
        error: why the last checkpoint was not written; None if it was.
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
        # A learner that was killed while it wrote left some 10 MB or more each time.
        for folder in (run_dir, run_dir / CHECKPOINTS_DIR):
            remove_partials(folder)

    def save_when_due(self) -> None:
        """Write the checkpoints that are due."""
        now = self._clock()
        if now - self._saved_at >= self._learner.settings.checkpoint_interval_s:
            self._saved_at = now
            self.save()
        mean = self.returns.mean
        if mean is None or not self.returns.complete or now - self._best_at < BEST_INTERVAL_S:
            return
        if self._best is None or mean > self._best:
            self._best, self._best_at = mean, now
            self._write(lambda: save_best(self._learner, self._run_dir, mean))
            # Who resumes the newest one must not lose what the best one has learned.
            self._saved_at = now
            self.save()

    def save(self) -> None:
        """Write a checkpoint, unless nothing has been learned yet."""
        if self._learner.counters.updates:
            self._write(lambda: save_checkpoint(self._learner, self._run_dir, self.returns.mean))

    def _write(self, save: Callable[[], Path]) -> None:
        try:
            file = save()
        except CheckpointError as error:
            self.error = str(error)
            log.error("%s; training continues, and the next checkpoint is tried as usual", error)
        else:
            self.error = None
            log.info("wrote %s", file)


class ReturnTracker:
    """Returns and lengths of the last episodes of all games."""

    def __init__(self) -> None:
        self._newest: deque[EpisodeEnd] = deque(maxlen=RETURN_WINDOW)

    def add(self, episodes: Iterable[EpisodeEnd]) -> None:
        """Add episodes, oldest first."""
        self._newest.extend(episodes)

    @property
    def complete(self) -> bool:
        """True once the window is full, and its mean not just luck."""
        return len(self._newest) == RETURN_WINDOW

    @property
    def mean(self) -> float | None:
        """Mean unshaped return in the window; None before the first episode."""
        return statistics.fmean(e.total_reward for e in self._newest) if self._newest else None

    @property
    def mean_length(self) -> float | None:
        """Mean steps of the episodes in the window; None before the first."""
        return statistics.fmean(e.length for e in self._newest) if self._newest else None
