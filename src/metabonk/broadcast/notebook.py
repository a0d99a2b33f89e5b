"""``watch``: the page, in a notebook's cell or as an address."""

import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from metabonk.broadcast.hub import seek_hub
from metabonk.broadcast.meeting import meeting_folder, page_address
from metabonk.errors import StartError

PATH = "/neural/broadcast"
POLL_S = 0.1

# A page on this machine may only be part of another one that has the same name for this machine.
# A cell of Visual Studio Code has none; but the editor forwards the port of a link to this machine,
# wherever that is clicked.
CELL = """
<div><iframe style="border:0;width:100%;height:{height}px" allow="autoplay; fullscreen"></iframe>
<a target="_blank" rel="noopener">metabonk</a>
<script>{{
  const link = document.currentScript.previousElementSibling;
  const frame = link.previousElementSibling;
  const address = new URL({address});
  if (["localhost", "127.0.0.1"].includes(location.hostname)) address.hostname = location.hostname;
  link.href = link.textContent = address;
  if (location.protocol.startsWith("http")) frame.src = address;
  else frame.remove();
}}</script></div>
"""


def watch(*, height: int = 620, timeout_s: float = 30.0) -> str | None:
    """Show the page of what this user broadcasts; if there is none yet, it is started.

    Args:
        height: of the page in a notebook's cell, pixels.
        timeout_s: to wait for the page.

    Returns:
        In a notebook (Jupyter, Colab), where the page is in the cell, None; elsewhere its address.

    Raises:
        StartError: there is no page in time.
    """
    address = _wait_for_page(timeout_s)
    if (colab := sys.modules.get("google.colab")) is not None:
        parts = urlsplit(address)
        path = urlunsplit(("", "", parts.path, parts.query, ""))
        colab.output.serve_kernel_port_as_iframe(parts.port, path=path, height=height)
        return None
    if not _is_in_notebook():
        return address
    display: Any = sys.modules["IPython"].display
    display.display(display.HTML(cell(address, height)))
    return None


def cell(address: str, height: int) -> str:
    """Return HTML that has the page at this address in a frame so many pixels high."""
    return CELL.format(address=json.dumps(address), height=int(height))


def _wait_for_page(timeout_s: float) -> str:
    folder = meeting_folder()
    until = time.monotonic() + timeout_s
    while True:
        seek_hub()
        if (address := page_address(folder)) is not None:
            parts = urlsplit(address)
            return urlunsplit(parts._replace(path=parts.path.rstrip("/") + PATH))
        if time.monotonic() > until:
            raise StartError(
                f"metabonk has no page after {timeout_s:g} s: 'metabonk watch' says why"
            )
        time.sleep(POLL_S)


def _is_in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config
