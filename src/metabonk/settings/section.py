"""Base of the sections of settings."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of settings: a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
