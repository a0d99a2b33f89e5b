"""``watch``: the address of the page, or the page in a notebook's cell."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

import metabonk
from metabonk.broadcast.meeting import LOCK, PAGE, meeting_folder
from metabonk.errors import StartError
from metabonk.system.file_lock import try_lock

ADDRESS = "http://127.0.0.1:5173"


@pytest.fixture
def page(rings: Path) -> Iterator[None]:
    """Have a hub, as far as trainers know."""
    file = meeting_folder() / LOCK
    descriptor = try_lock(file)
    assert descriptor is not None
    os.write(descriptor, json.dumps({PAGE: ADDRESS}).encode())
    yield
    os.close(descriptor)


@pytest.mark.usefixtures("page")
def test_outside_a_notebook_it_returns_the_address():
    assert metabonk.watch() == f"{ADDRESS}/neural/broadcast"


def test_without_a_page_in_time_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("METABONK_HUB", "0")
    with pytest.raises(StartError, match=r"no page after 0\.2 s: 'metabonk watch'"):
        metabonk.watch(timeout_s=0.2)


@pytest.mark.usefixtures("page")
# Jupyter's own: its ports are bound without one.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_in_a_notebook_the_page_is_in_the_cell():
    manager, client = start_new_kernel(kernel_name="python3", env=os.environ.copy())
    try:
        shown = list[str]()

        def note(message: dict[str, object]) -> None:
            if message["msg_type"] == "display_data":
                shown.append(message["content"]["data"]["text/html"])  # type: ignore[index]

        reply = client.execute_interactive(
            "import metabonk; metabonk.watch(height=400)", timeout=60, output_hook=note
        )
        assert reply["content"]["status"] == "ok"
        (html,) = shown
        assert f'"{ADDRESS}/neural/broadcast"' in html and "height:400px" in html
    finally:
        client.stop_channels()
        with contextlib.suppress(ProcessLookupError):
            manager.shutdown_kernel(now=True)
