"""The only place that reads the environment and configuration files.

Command line over ``METABONK_*`` environment over ``metabonk.toml`` over the stream profile over
defaults. ``schema`` says what there is, ``validation`` what is wrong with given values,
``load`` where they come from.
"""

from metabonk.settings.load import (
    load_settings,
    load_usable_settings,
    read_settings,
    read_usable_settings,
    unknown_variables,
    write_settings,
)
from metabonk.settings.schema import Settings

__all__ = [
    "Settings",
    "load_settings",
    "load_usable_settings",
    "read_settings",
    "read_usable_settings",
    "unknown_variables",
    "write_settings",
]
