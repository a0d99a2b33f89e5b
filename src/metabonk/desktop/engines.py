"""Starting a desktop game, whatever moves its clock."""

from metabonk.desktop.adapter_engine import AdapterEngine
from metabonk.desktop.catalog import Entry, require
from metabonk.desktop.engine import Engine
from metabonk.desktop.screen_engine import ScreenEngine


def open_engine(entry: Entry, wanted: tuple[int, int] | None) -> Engine:
    """Start a game, on a thread that lives as long, see ``child.Child``.

    Args:
        entry: its definition.
        wanted: width and height for viewers; None: nobody watches, so it runs at low priority.

    Raises:
        GameStartError: what it needs is missing.
        GameError: it does not start.
    """
    require(entry)
    engine = AdapterEngine if entry.definition.clock.kind == "adapter" else ScreenEngine
    return engine(entry, wanted)
