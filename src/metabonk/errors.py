"""The exceptions that MetaBonk raises on purpose.

::

    MetaBonkError                what happened, and what to do about it
    ├── SettingsError            an invalid setting: its name, its value and what is allowed
    ├── StartError               a process can't start: port in use, fleet already running, no disk
    ├── GameError                a game can't be created, or failed while it was played
    │   └── GameStartError       it can't be started here; another start would end the same way
    │       └── UnknownGame      no such id; says what there is instead
    ├── PolicyError              weights that don't fit the network
    ├── WireError                an unreadable message: malformed, or for another game
    ├── CheckpointError          an unreadable checkpoint, or one that doesn't fit
    ├── ExportError              a policy can't be written to this file
    ├── ReplayError              an episode can't be repeated
    │   └── EpisodeDiffers       repeated, it does not come out as it was played
    └── EncodingError            an encoder can't be opened, or failed in mid-stream
        ├── EncoderUnavailable   this encoder can't be opened here now; says why
        └── EncoderBroken        it worked and then failed; its lease must be released

The command line prints ``str(error)`` and nothing else: the message is a sentence that a person
can act on, with the numbers in it.
"""

ERROR_PREFIX = "metabonk: "
"""Prefix of the error that ends a process; the supervisor looks for it in a child's log."""


class MetaBonkError(Exception):
    """Base of all; ``exit_code`` is that of a command that ends with it."""

    exit_code = 1


class SettingsError(MetaBonkError):
    """A setting is invalid."""

    exit_code = 2


class StartError(MetaBonkError):
    """A process can't start."""


class PortInUse(StartError):
    """Another program listens on a port."""


class GameError(MetaBonkError):
    """A game can't be created, or failed while it was played."""


class GameStartError(GameError):
    """The game can't be started; another start would end the same way."""

    exit_code = 2


class UnknownGame(GameStartError):
    """No game has this id.

    Args:
        game_id: as it was given.
        advice: what to do, or what there is instead.
    """

    def __init__(self, game_id: str, advice: str) -> None:
        super().__init__(f"unknown game {game_id!r}: {advice}")


class PolicyError(MetaBonkError):
    """The weights don't fit the network."""


class WireError(MetaBonkError):
    """A message from another process can't be read."""


class CheckpointError(MetaBonkError):
    """A checkpoint can't be read, or belongs to another game or network."""


class ExportError(MetaBonkError):
    """A policy can't be exported to this file."""


class ReplayError(MetaBonkError):
    """An episode can't be repeated."""


class EpisodeDiffers(ReplayError):
    """An episode that was repeated did not come out as it was played.

    Attributes:
        step: the first one that differs, from 0; the last one if only the exact rewards do.
    """

    exit_code = 3

    def __init__(self, message: str, step: int) -> None:
        self.step = step
        super().__init__(message)


class EncodingError(MetaBonkError):
    """An encoder can't be opened, or failed."""


class EncoderUnavailable(EncodingError):
    """The encoder can't be opened on this machine now.

    Attributes:
        nvenc_code: the driver's answer to opening a session (10 and 21 at the session limit, 2 for
            a device without an encoder); None if the driver wasn't asked.
    """

    def __init__(self, message: str, nvenc_code: int | None = None) -> None:
        self.nvenc_code = nvenc_code
        super().__init__(message)


class EncoderBroken(EncodingError):
    """An encoder failed after it had worked."""
