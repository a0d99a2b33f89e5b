"""What is wrong with a worker, and what to do: the page and ``validate`` say the same. Pure."""

from metabonk.messages import Problem, WorkerStatus


def no_picture(status: WorkerStatus) -> Problem:
    """Of a worker that should be live and can't be."""
    return Problem(
        what=f"{status.instance_id} has no picture: {status.stream_error}",
        do="it is tried again by itself; docs/sessions.md tells what to do for each reason",
    )
