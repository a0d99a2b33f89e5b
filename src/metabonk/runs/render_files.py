"""Names of the files that the renderer of a replay reads and writes."""

from dataclasses import dataclass
from pathlib import Path

from metabonk.system.files import PARTIAL_SUFFIX

TRACK_SUFFIX = ".track"
SALIENCY_SUFFIX = ".saliency"
OUTCOME_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class RenderFiles:
    """Files of one rendering, side by side.

    Attributes:
        video: whole video.
    """

    video: Path

    @property
    def log(self) -> Path:
        """Log of the episode, given to the renderer."""
        return self.video.with_name("episode.log")

    @property
    def partial(self) -> Path:
        """Video as far as it is written."""
        return self._with(PARTIAL_SUFFIX)

    @property
    def track(self) -> Path:
        """Thoughts, ``ReplayTrack`` as JSON."""
        return self._with(TRACK_SUFFIX)

    @property
    def saliency(self) -> Path:
        """Saliency maps as far as they are written, ``ReplaySaliency`` as JSON lines."""
        return self._with(SALIENCY_SUFFIX)

    @property
    def outcome(self) -> Path:
        """Final report of the renderer, ``RenderOutcome`` as JSON; written last."""
        return self._with(OUTCOME_SUFFIX)

    def _with(self, suffix: str) -> Path:
        return self.video.with_name(self.video.name + suffix)
