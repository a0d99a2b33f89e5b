"""The reasons for which a viewer gets no replay, each with its HTTP status and code."""

from metabonk.errors import MetaBonkError


class NoReplay(MetaBonkError):
    """Base of all; trying again may help."""

    http_status = 503
    code = "replay_failed"


class ReplayFailed(NoReplay):
    """It could not be rendered."""


class ReplayDiffers(NoReplay):
    """Repeated, the episode did not come out as it was played."""

    http_status = 409
    code = "replay_differs"


class TooManyReplays(NoReplay):
    """Too many replays or viewers are waiting already."""

    code = "too_many_replays"


class NoEpisodeLog(NoReplay):
    """The episode can't be repeated: its log is not kept."""

    http_status = 404
    code = "no_episode_log"


class NoCheckpoint(NoReplay):
    """The run has no policy yet that could play again."""

    http_status = 409
    code = "no_checkpoint"
