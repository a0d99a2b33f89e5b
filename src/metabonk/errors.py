"""Every exception MetaBonk raises on purpose.

::

    MetaBonkError                what is so, and what to do about it
    ├── SettingsError            a setting can't be used: its name, value and what is allowed
    ├── StartError               a process can't start: port in use, fleet already running, no disk
    ├── GameError                a game can't be made, or broke while it was played
    │   └── UnknownGame          no such id; carries the ids there are
    ├── PolicyError              weights that don't fit the network
    ├── WireError                a message that can't be read: malformed, or for another game
    ├── CheckpointError          a checkpoint that can't be read or doesn't fit
    └── EncodingError            an encoder can't be opened or broke in mid-stream
        ├── EncoderUnavailable   this encoder is not to be had here; says why
        └── EncoderBroken        it worked and stopped working; give the lease back

The command line prints ``str(error)`` of any of them and nothing else: the message is a sentence
that a person can act on, with the numbers in it.
"""

ERROR_PREFIX = "metabonk: "
"""Begins the sentence that a process ends with; the supervisor looks for it in a child's log."""


class MetaBonkError(Exception):
    """Base of all. ``exit_code`` is what a command ends with when one gets to its boundary."""

    exit_code = 1


class SettingsError(MetaBonkError):
    """A setting can't be used."""

    exit_code = 2


class StartError(MetaBonkError):
    """A process can't start."""


class GameError(MetaBonkError):
    """A game can't be made, or broke while it was played."""


class UnknownGame(GameError):
    """No game has this id."""

    exit_code = 2

    def __init__(self, game_id: str, available: list[str]) -> None:
        self.game_id = game_id
        self.available = available
        listed = "\n  ".join(available)
        super().__init__(
            f"there is no game {game_id!r}. Games on this machine:\n  {listed}\n"
            "  gym:<id>   any Gymnasium environment that renders rgb_array"
        )


class PolicyError(MetaBonkError):
    """Weights don't fit the network."""


class WireError(MetaBonkError):
    """A message from another process can't be read."""


class CheckpointError(MetaBonkError):
    """A checkpoint can't be read, or belongs to another game or network."""


class EncodingError(MetaBonkError):
    """An encoder can't be opened, or broke."""


class EncoderUnavailable(EncodingError):
    """This encoder is not to be had on this machine now.

    Attributes:
        nvenc_code: the driver's answer to opening a session (10 and 21 at the limit of sessions, 2
            where the device has no encoder), or None where it wasn't asked.
    """

    def __init__(self, message: str, nvenc_code: int | None = None) -> None:
        self.nvenc_code = nvenc_code
        super().__init__(message)


class EncoderBroken(EncodingError):
    """An encoder that had worked stopped working."""
