"""What each worker has counted in the run, over all processes that it has been. Pure."""

from collections.abc import Mapping

from metabonk.messages import Counted, WorkerStatus


class Tallies:
    """Tells a worker that was started again where it goes on counting.

    Args:
        before: by worker, what earlier starts of the run have left.
    """

    def __init__(self, before: Mapping[int, Counted]) -> None:
        self._counted = dict(before)
        self._begun: dict[int, tuple[int, Counted]] = {}

    def begin(self, status: WorkerStatus) -> Counted:
        """What was counted before the process that says this; the same for as long as it lives."""
        index = status.worker_index
        known = self._counted.get(index, Counted())
        pid, begun = self._begun.get(index, (None, known))
        if pid != status.pid:
            begun = known
            self._begun[index] = status.pid, begun
        self._counted[index] = Counted(
            step=max(known.step, status.step), episode=max(known.episode, status.episode)
        )
        return begun


def including(status: WorkerStatus, counted: Counted) -> WorkerStatus:
    """The status with everything counted, also where it was said before the worker was told."""
    if status.step >= counted.step:
        return status
    whole = {"step": counted.step + status.step, "episode": counted.episode + status.episode}
    return status.model_copy(update=whole)
