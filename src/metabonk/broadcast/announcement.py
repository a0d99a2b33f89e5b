"""Announcement in a ring of the environment that writes to it."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from metabonk.errors import WireError

Kind: TypeAlias = Literal["environment", "stream"]
Draw: TypeAlias = Literal["auto", "shadow", "inline", "observation"]
Speed: TypeAlias = Literal["game", "now"]

DEFAULT_FPS = 30.0
MAX_FPS = 240.0
"""Beyond that, ``render_fps`` is taken for a mistake, as it is below 1."""


@dataclass(frozen=True)
class Recipe:
    """Instructions for a copy of an environment, in a process of its own.

    Attributes:
        spec: ``EnvSpec`` as JSON.
        python: interpreter of the trainer, whose packages the environment needs.
        path: its ``sys.path``.
        folder: its working directory.
        left_out: wrappers that the copy does without, since they change no action and no reward.
    """

    spec: str
    python: str
    path: tuple[str, ...]
    folder: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Announcement:
    """Description of an environment or stream.

    Attributes:
        name: unique among those of the user.
        kind: what writes to the ring.
        version: of MetaBonk in the trainer.
        pid: of the trainer.
        fps: frames a second of the game, or of the stream.
        draw: where it is to be drawn; see ``Broadcast``.
        speed: which frames are shown; see ``Broadcast``.
        budget: share of the trainer's time that drawing may take there.
        recipe: of a copy; None: there can be none.
        no_recipe: why not; empty if there is one.
        draws_inline: the trainer can draw it.
        actions: names of discrete actions; empty for others.
    """

    name: str
    kind: Kind
    version: str
    pid: int
    fps: float
    draw: Draw = "auto"
    speed: Speed = "game"
    budget: float = 0.0
    recipe: Recipe | None = None
    no_recipe: str = ""
    draws_inline: bool = True
    actions: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Encode it."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Announcement":
        """Decode an announcement from an untrusted source.

        Raises:
            WireError: it is damaged; says what.
        """
        try:
            content = json.loads(data)
            recipe = content.pop("recipe")
            fields = _with_texts(_checked({"actions": (), **content}, cls), "actions")
            return cls(**fields, recipe=None if recipe is None else _recipe(recipe))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise WireError(f"the ring's announcement is damaged: {error}") from None


def usable_fps(value: Any) -> float:
    """Return an environment's ``render_fps``; the default where it is none or no usable number."""
    try:
        fps = float(value)
    except (TypeError, ValueError):
        return DEFAULT_FPS
    return fps if 1 <= fps <= MAX_FPS else DEFAULT_FPS


_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "version": (str,),
    "pid": (int,),
    "fps": (int, float),
    "budget": (int, float),
    "no_recipe": (str,),
    "draws_inline": (bool,),
    "spec": (str,),
    "python": (str,),
    "folder": (str,),
}
_CHOICES = {"kind": get_args(Kind), "draw": get_args(Draw), "speed": get_args(Speed)}


def _checked(content: dict[str, Any], cls: type) -> dict[str, Any]:
    """Return the fields of a class, each of its type; what a later version added is left out."""
    names = {field.name for field in dataclasses.fields(cls)}
    fields = {name: value for name, value in content.items() if name in names}
    for name, value in fields.items():
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"{name} is {value!r}")
        if name in _TYPES and not isinstance(value, _TYPES[name]):
            raise ValueError(f"{name} is {value!r}")
    if "fps" in fields and not 1 <= fields["fps"] <= MAX_FPS:
        raise ValueError(f"fps is {fields['fps']}")
    return fields


def _recipe(content: dict[str, Any]) -> Recipe:
    return Recipe(**_with_texts(_checked(content, Recipe), "path", "left_out"))


def _with_texts(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the fields with those that JSON made lists of texts as tuples."""
    for name in names:
        fields[name] = tuple(fields[name])
        if not all(isinstance(each, str) for each in fields[name]):
            raise ValueError(f"{name} is no list of texts")
    return fields
