"""The definition of a desktop game: the schema of its TOML file. Pure.

docs/desktop-games.md explains how to write one, and shows every key.
"""

import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic_core import ErrorDetails

from metabonk.desktop.keys import BUTTONS, KEYSYMS, is_key
from metabonk.settings.section import Section

Word = Annotated[str, Field(min_length=1, max_length=200)]
Side = Annotated[int, Field(ge=64, le=4096)]
Size = tuple[Side, Side]
Place = Annotated[int, Field(ge=0, le=4096)]
Extent = Annotated[int, Field(ge=1, le=4096)]
Region = tuple[Place, Place, Extent, Extent]
"""Left, top, width and height of a part of the screen, pixels."""

PLACEHOLDERS = ("game", "home", "python")
"""Names that a command may have in braces: the prepared game, the folder that is its home, and
MetaBonk's own interpreter."""

NO_KEY = (
    "there is no such key; a key is a character, mouse@X,Y or one of "
    f"{', '.join((*KEYSYMS, *BUTTONS))}"
)


def _check_placeholders(word: str) -> str:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(word) if name is not None]
    except ValueError:
        raise ValueError("it has a single brace; write {{ or }} for one") from None
    for name in names:
        if name not in PLACEHOLDERS:
            allowed = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise ValueError(f"{{{name}}} is unknown; known are {allowed}")
    return word


def _check_key(name: str) -> str:
    if not is_key(name):
        raise ValueError(NO_KEY)
    return name


def _check_pattern(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    if not groups:
        raise ValueError("it has no group, such as (\\d+), for the number")
    return pattern


def _check_rows(rows: tuple[str, ...]) -> tuple[str, ...]:
    if len({len(row) for row in rows}) != 1 or not set("".join(rows)) <= {"#", "."} or not rows[0]:
        raise ValueError("rows must be of one length, of # and .")
    return rows


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("it must be a name of letters, digits and underscores")
    return name


Keys = tuple[Annotated[str, AfterValidator(_check_key)], ...]
Rows = Annotated[
    tuple[Annotated[str, Field(max_length=200)], ...],
    Field(min_length=1, max_length=100),
    AfterValidator(_check_rows),
]


class Clock(Section):
    """The game's time."""

    kind: Literal["adapter", "frozen", "real"] = Field(
        description="adapter: code in the game moves it, when told; frozen: the program is stopped "
        "while the policy decides, and its clock with it; real: nobody stops it"
    )
    tics_per_second: int = Field(60, ge=1, le=240, description="updates of the game in a second")
    tics_per_step: int = Field(4, ge=1, le=120, description="tics that an action is held")


class Adapter(Section):
    """Code that runs inside the game, and what it evaluates there, in the game's own language."""

    engine: Literal["love", "pygame", "retro"] = Field(description="the game's engine")
    source: Path = Field(
        description="love: a .love file, or a folder with its main.lua; pygame: a .py file, or the "
        "name of a module; retro: a game of stable-retro"
    )
    begin: str = Field(
        "",
        description="statements that begin an episode; pygame: before the game is started; retro: "
        "a savestate",
    )
    each_tic: str = Field("", description="statements after each tic, such as to skip a dialog")
    resize: str = Field("", description="statements that apply the variables width and height")


class Reward(Section):
    """Reward: the growth of a number."""

    scale: float = Field(1.0, gt=0, description="factor that brings returns near 1")
    clip: float = Field(
        0.0, ge=0, description="largest growth in a step that counts for learning; 0: any"
    )


class AdapterReward(Reward):
    """A number inside the game."""

    origin: Literal["adapter"] = Field(alias="from")
    value: str = Field(min_length=1, description="expression in the game's language")

    def __str__(self) -> str:
        return repr(self.value)


class DigitsReward(Reward):
    """A number on the screen."""

    origin: Literal["digits"] = Field(alias="from")
    region: Region
    threshold: int = Field(128, ge=1, le=255, description="brightness of the digits' pixels")
    pitch: int = Field(
        0, ge=0, le=200, description="width of a digit with its gap; 0: gaps separate them"
    )
    glyphs: dict[Annotated[str, Field(pattern="^[0-9]$")], Rows] = Field(
        {}, description="each digit, as rows of # and ."
    )

    def __str__(self) -> str:
        return f"the number at {', '.join(map(str, self.region))}"


class OutputReward(Reward):
    """A number that the program prints."""

    origin: Literal["output"] = Field(alias="from")
    pattern: Annotated[str, AfterValidator(_check_pattern)] = Field(
        description="regular expression of a line, with the number as its first group"
    )

    def __str__(self) -> str:
        return repr(self.pattern)


class MemoryReward(Reward):
    """A number in the memory of the program."""

    origin: Literal["memory"] = Field(alias="from")
    module: str = Field("", description="file name of a library; empty: the program itself")
    symbol: str = Field("", description="name of a variable in the module's symbols")
    offset: int = Field(0, description="bytes from there, or else from the module's start")
    pointers: tuple[int, ...] = Field(
        (), description="for each, the address is read there, and these bytes are added"
    )
    type: Literal["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64"]

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if not self.symbol and not self.offset:
            raise ValueError("symbol or offset is missing: where in the module is the number?")
        return self

    def __str__(self) -> str:
        return repr(self.symbol or hex(self.offset))


class SocketReward(Reward):
    """Rewards that the program writes to a socket."""

    origin: Literal["socket"] = Field(alias="from")

    def __str__(self) -> str:
        return "what it writes to METABONK_REWARDS"


REWARDS = {
    "adapter": AdapterReward,
    "digits": DigitsReward,
    "output": OutputReward,
    "memory": MemoryReward,
    "socket": SocketReward,
}


class Sign(Section):
    """Something that appears on the screen."""

    region: Region
    threshold: int = Field(128, ge=1, le=255, description="brightness of its bright pixels")
    rows: Rows = Field(description="the region as rows of # (bright) and .")


class Episode(Section):
    """Beginning and end of an episode."""

    begin: tuple[Annotated[float, Field(ge=0, le=60)] | Keys, ...] = Field(
        (), description="keys that are held, and seconds to wait, after the program's start"
    )
    over: str = Field("", description="expression in the game's language: the game is over")
    over_sign: Sign | None = Field(None, description="the game is over once this is on the screen")
    limit_s: float = Field(300.0, gt=0, le=86400, description="game time after which it is cut off")
    stuck_s: float = Field(
        0.0, ge=0, description="game time without any change to see, after which it is cut off"
    )
    restart_after: int = Field(
        1000, ge=1, description="episodes after which a game with an adapter is started anew"
    )


class View(Section):
    """Input of the policy."""

    width: int = Field(128, ge=36, le=1024, description="of the image, pixels")
    height: int = Field(0, ge=0, le=1024, description="0: in the aspect ratio of the game")
    grayscale: bool = Field(False, description="one channel instead of three")
    frame_stack: int = Field(1, ge=1, le=16, description="images at once")

    def of(self, size: Size) -> tuple[int, int]:
        """Return width and height of the image of a game of this size."""
        return self.width, self.height or max(36, round(self.width * size[1] / size[0]))


class Definition(Section):
    """A desktop game."""

    name: Word
    command: Annotated[
        tuple[Annotated[Word, AfterValidator(_check_placeholders)], ...], Field(min_length=1)
    ] = Field(description="the program and its arguments")
    sizes: tuple[Size, ...] = Field(
        min_length=1, description="widths and heights that it can draw; several need adapter.resize"
    )
    environment: dict[str, str] = Field({}, description="variables of the program")
    needs: tuple[Word, ...] = Field((), description="programs and files it consists of")
    packages: tuple[Word, ...] = Field((), description="Debian packages that have them")
    modules: tuple[Word, ...] = Field((), description="Python modules, installed by these names")
    clock: Clock
    actions: dict[Annotated[str, AfterValidator(_check_name)], tuple[Word, ...]] = Field(
        min_length=2, max_length=256, description="the keys that each action holds"
    )
    reward: Annotated[
        AdapterReward | DigitsReward | OutputReward | MemoryReward | SocketReward,
        Field(discriminator="origin"),
    ]
    episode: Episode = Episode()
    view: View = View()
    adapter: Adapter | None = None

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        with_adapter = self.clock.kind == "adapter"
        if with_adapter != (self.adapter is not None):
            raise ValueError(
                f"clock.kind is {self.clock.kind!r}, and a section [adapter] belongs to 'adapter'"
            )
        if with_adapter != isinstance(self.reward, AdapterReward):
            others = " or ".join(repr(each) for each in REWARDS if each != "adapter")
            allowed = "'adapter'" if with_adapter else others
            raise ValueError(
                f"reward.from must be {allowed} where clock.kind is {self.clock.kind!r}"
            )
        if not with_adapter:
            for name, keys in self.actions.items():
                for key in keys:
                    if not is_key(key):
                        raise ValueError(f"actions.{name} has {key!r}: {NO_KEY}")
        if len(self.sizes) > 1 and not (self.adapter and self.adapter.resize):
            raise ValueError("several sizes need adapter.resize, which changes the size")
        if self.adapter and self.adapter.engine == "love" and not self.adapter.begin:
            raise ValueError("adapter.begin is missing: a LÖVE game begins an episode by it")
        if self.adapter and self.adapter.engine != "love" and self.adapter.resize:
            raise ValueError("adapter.resize is for LÖVE games")
        return self

    @property
    def episodes_per_start(self) -> int:
        """Episodes that one process of the program plays."""
        can_begin_again = self.adapter is not None and self.adapter.engine != "pygame"
        return self.episode.restart_after if can_begin_again else 1

    @property
    def has_display(self) -> bool:
        """The program draws on a display, unlike an emulator."""
        return self.adapter is None or self.adapter.engine != "retro"

    @property
    def largest_size(self) -> Size:
        """Width and height of the display."""
        return max(size[0] for size in self.sizes), max(size[1] for size in self.sizes)

    def drawn_size(self, wanted: Size | None) -> Size:
        """Return the largest size that fits into what viewers want; the smallest if there is none.

        Args:
            wanted: width and height, pixels; None: nobody watches.
        """
        width, height = wanted or (0, 0)
        fitting = [size for size in self.sizes if size[0] <= width and size[1] <= height]
        return max(fitting) if fitting else min(self.sizes)


def describe_mistake(details: ErrorDetails) -> str:
    """Return a sentence about an invalid key of a definition, without the file's name."""
    path = [str(part) for part in details["loc"] if part != "[key]"]
    # Of a kind of reward, the path has its name as well.
    key = ".".join(part for at, part in enumerate(path) if (at, path[0]) != (1, "reward"))
    message = details["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if details["type"] == "union_tag_invalid":
        allowed = " or ".join(map(repr, REWARDS))
        return f"{key}.from is {details['input'].get('from')!r}: input should be {allowed}"
    if details["type"] == "union_tag_not_found":
        return f"{key}.from is missing"
    if details["type"] == "extra_forbidden":
        return f"there is no key {key}; known there are {', '.join(_keys(path[:-1]))}"
    if details["type"] == "missing":
        return f"{key} is missing"
    return f"{key} is {details['input']!r}: {message}" if path else message


def _keys(path: list[str]) -> Iterator[str]:
    """Yield the keys that a section of a definition may have."""
    model: Any = Definition
    for name in path:
        if name in REWARDS:
            model = REWARDS[name]
            continue
        annotation = model.model_fields[name].annotation
        model = next(
            each
            for each in (annotation, *getattr(annotation, "__args__", ()))
            if isinstance(each, type) and issubclass(each, BaseModel)
        )
    for name, field in model.model_fields.items():
        yield field.alias or name
