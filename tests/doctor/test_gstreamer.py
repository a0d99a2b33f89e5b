"""GStreamer is worth a word where there is something for it to do."""

from pathlib import Path

import pytest

from metabonk.doctor import gstreamer as gstreamer_module
from metabonk.doctor.gstreamer import ADD, gstreamer
from tests.doctor.machines import GEFORCE, pools_of

ENCODING = Path(__file__).parents[2] / "docs" / "encoding.md"


@pytest.fixture(autouse=True)
def _no_other_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer_module, "RENDER_NODES", tmp_path / "nowhere")


def test_where_there_is_a_gpu_one_command_adds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gstreamer_module, "has_gstreamer", lambda: False)
    found = gstreamer(pools_of(tmp_path, GEFORCE))
    assert found.do == ADD and not found.needed
    assert gstreamer(pools_of(tmp_path)).do is None
    monkeypatch.setattr(gstreamer_module, "RENDER_NODES", tmp_path)
    assert gstreamer(pools_of(tmp_path)).do == ADD


def test_where_it_is_there_its_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gstreamer_module, "has_gstreamer", lambda: True)
    monkeypatch.setattr(gstreamer_module, "gstreamer_version", lambda: "PyGObject 3.50")
    assert gstreamer(pools_of(tmp_path, GEFORCE)).what == "GStreamer's bindings: PyGObject 3.50"


def test_the_command_is_that_of_the_documentation():
    block = ENCODING.read_text().split("```bash")[1].split("```")[0]
    words = block.replace("\\\n", " ").split()
    assert [word for word in ADD.split() if word != "&&"] == words
