"""How large the optimiser's steps are, as the run goes on. Pure."""

from metabonk.settings.schema import Learning


def learning_rate(settings: Learning, steps_trained: int) -> float:
    """The step size now: from ``learning_rate`` to ``learning_rate_final`` in a straight line.

    It hangs on nothing but the steps, so that a run which is continued goes on with the step size
    it would have had.

    Args:
        settings: of the learner.
        steps_trained: decisions learned from since the run began.
    """
    if settings.schedule_steps == 0:
        return settings.learning_rate
    done = min(1.0, steps_trained / settings.schedule_steps)
    return settings.learning_rate + done * (settings.learning_rate_final - settings.learning_rate)
