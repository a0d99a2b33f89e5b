"""Work of a GPU that is recorded once and then repeated by a single launch."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 3
"""Runs before the recording, in which libraries choose kernels and take their memory: as many as
PyTorch's documentation of CUDA graphs advises."""


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect garbage now and not meanwhile: freeing another graph would spoil a recording."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class CudaGraph:
    """A function whose kernels run again whenever it is called, from the same memory.

    Its inputs are tensors that the caller writes to in between.

    Args:
        work: runs a few times without being recorded, then once for the recording. It must not
            wait for the device.
        device: that it works on.
        pool: that the recording takes memory from (``torch.cuda.graph_pool_handle``), shared with
            graphs that run one after another and whose results are elsewhere; None: its own.

    Raises:
        torch.OutOfMemoryError: the device has too little memory.
    """

    def __init__(
        self, work: Callable[[], Tensor], device: torch.device, *, pool: Any = None
    ) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device):
            aside, current = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(current)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    work()
            current.wait_stream(aside)
            self._result = self._record(work, pool)

    def _record(self, work: Callable[[], Tensor], pool: Any) -> Tensor:
        try:
            # Other threads may use the device meanwhile.
            recording = torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local")
            with _no_garbage_collection(), recording:
                return work()
        except RuntimeError as error:
            # To end the recording fails too, and would hide why.
            if isinstance(error.__context__, torch.OutOfMemoryError):
                raise error.__context__ from None
            raise

    def __call__(self) -> Tensor:
        """Run the work, and return its result, which the next call overwrites."""
        self._graph.replay()
        return self._result
