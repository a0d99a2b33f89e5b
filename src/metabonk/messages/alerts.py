"""Messages about incidents."""

from enum import StrEnum

from pydantic import Field

from metabonk.messages.base import Message, Text


class IncidentKind(StrEnum):
    """Kind of event that somebody should be woken for."""

    LEARNER = "learner"
    """It died or hung."""

    NOT_FINITE = "not_finite"
    """Gradient steps are skipped, since a loss or a gradient is not finite."""

    NO_PROGRESS = "no_progress"
    DISK = "disk"
    RESTARTS = "restarts"
    """A process is restarted again and again."""

    ENCODER = "encoder"
    """Workers that should be seen can't encode."""


class Severity(StrEnum):
    """Gravity of an incident or event."""

    CRITICAL = "critical"
    """Nothing is learned, or soon will be."""

    WARNING = "warning"
    INFO = "info"
    """Nothing has to be done; no incident has it."""


class Incident(Message):
    """One incident, from its beginning to its end."""

    kind: IncidentKind
    subject: Text = Field(description="process or folder that it is about; empty: the fleet")
    severity: Severity
    message: Text = Field(description="what happened")
    action: Text = Field(description="what to do about it")
    since: float = Field(0.0, description="Unix time, seconds")
