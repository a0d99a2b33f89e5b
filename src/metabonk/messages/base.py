"""Words that all messages are made of: bounded numbers and texts, and the base of the models."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from metabonk.printable import printable

LARGEST_COUNT = 2**53 - 1
"""Largest integer that JavaScript holds exactly (ECMA-262, Number.MAX_SAFE_INTEGER)."""

LARGEST_NUMBER = 1e30
"""Bound on either side; keeps sums finite and excludes NaN."""

MAX_EPISODE_STEPS = 2**31 - 1
"""Steps; keeps sums within SQLite's 64-bit integers."""

MAX_SHORT_TEXT = 300
MAX_LONG_TEXT = 4_000
"""Characters; for errors, parts of which come from other programs."""

Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
CountOrNone = Annotated[int | None, Field(ge=0, le=LARGEST_COUNT)]
Number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
NumberOrNone = Annotated[float | None, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]


def _made_printable(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_made_printable)]
"""May hold what games, viewers, other programs and files say: it is made printable."""

ShortText = Annotated[Text, Field(max_length=MAX_SHORT_TEXT)]
LongText = Annotated[Text, Field(max_length=MAX_LONG_TEXT)] | None


class Message(BaseModel):
    """Base of every message; unknown fields are refused, so that a typo is noticed at once."""

    # Fields with a default are always sent, so the schema lists them as required.
    model_config = ConfigDict(
        extra="forbid", ser_json_inf_nan="null", json_schema_serialization_defaults_required=True
    )


class Loop(StrEnum):
    """Main loops of a worker and of the learner."""

    LIVE = "live"
    BACKGROUND = "background"
    TRAIN = "train"


Turns = Annotated[
    dict[Loop, Count],
    Field(description="turns of the main loops that run now; one that stops turning hangs"),
]


class Problem(Message):
    """Something an operator should know, and what to do about it."""

    message: Text = Field(description="what happened")
    action: Text = Field(description="what to do about it")


class ErrorBody(Message):
    """Body of every 4xx and 5xx response."""

    error: str = Field(description="machine-readable, snake_case")
    message: Text = Field(description="what went wrong, in a sentence")
