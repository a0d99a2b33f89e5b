"""The exceptions that MetaBonk raises on purpose.

::

    MetaBonkError                what happened, and what to do about it
    ├── SettingsError            an invalid setting: its name, its value and what is allowed
    ├── StartError               a process can't start: port in use, fleet already running, no disk
    ├── GameError                a game can't be created, or failed while it was played
    │   └── UnknownGame          no such id; carries the available ids
    ├── PolicyError              weights that don't fit the network
    ├── WireError                an unreadable message: malformed, or for another game
    ├── CheckpointError          an unreadable checkpoint, or one that doesn't fit
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


class GameError(MetaBonkError):
    """A game can't be created, or failed while it was played."""


class UnknownGame(GameError):
    """No game has this id."""

    exit_code = 2

    def __init__(self, game_id: str, available: list[str]) -> None:
        self.game_id = game_id
        self.available = available
        listed = "\n  ".join(available)
        super().__init__(
            f"unknown game {game_id!r}. Games on this machine:\n  {listed}\n"
            "  gym:<id>   any Gymnasium environment that renders rgb_array"
        )


class PolicyError(MetaBonkError):
    """The weights don't fit the network."""


class WireError(MetaBonkError):
    """A message from another process can't be read."""


class CheckpointError(MetaBonkError):
    """A checkpoint can't be read, or belongs to another game or network."""


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
