"""Base of the sections of settings."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of settings: a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def split(given: object) -> object:
    """Accept a list, as in TOML, or a comma-separated string, as in the environment."""
    return given.split(",") if isinstance(given, str) else given
