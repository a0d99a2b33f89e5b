"""Scripts of other trainers that broadcast: those of the documentation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import FrameRecord, Record, Step
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.errors import WireError
from tests.support.rings import records_of
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "broadcast"
GUIDE = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")


def open_rings(count: int) -> list[RingReader] | None:
    """Return readers of all rings; None while there are fewer, or one is being made."""
    files = find_rings()
    try:
        return [RingReader(file) for file in files] if len(files) == count else None
    except WireError:
        return None


@pytest.mark.parametrize(
    ("name", "rings", "demand", "kind"),
    [
        ("sb3", 4, Demand.RECORDS, Step),
        ("cleanrl", 4, Demand.RECORDS, Step),
        ("vector", 8, Demand.RECORDS, Step),
        ("simulator", 1, Demand.FRAMES, FrameRecord),
        ("stream", 1, Demand.FRAMES, FrameRecord),
    ],
)
def test_an_example_shows_all_of_its_environments(
    name: str,
    rings: int,
    demand: Demand,
    kind: type[Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path))
    environment = os.environ | {"METABONK_HUB": "0"}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    with subprocess.Popen(command, env=environment, cwd=tmp_path) as script:
        try:
            readers = until("all are announced", lambda: open_rings(rings), 100)
            for reader in readers:
                set_demand(reader.file, demand, 600)

            def is_shown(reader: RingReader) -> bool:
                assert script.poll() is None
                try:
                    return any(isinstance(each, kind) for each in records_of(reader))
                except WireError as error:
                    raise AssertionError(name) from error

            for reader in readers:
                until("it is shown", lambda reader=reader: is_shown(reader), 60)
                reader.close()
        finally:
            script.kill()


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_the_guide_shows_the_examples_as_they_are(file: Path):
    _, _, code = file.read_text(encoding="utf-8").partition('"""\n\n')
    if file.stem == "simulator":
        code = code[code.index("envs = metabonk") :]
    assert f"```python\n{code}```" in GUIDE
