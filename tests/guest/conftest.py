from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the rings, which is this test's own and has no hub; children too."""
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))
    monkeypatch.setenv("METABONK_HUB", "0")
    return tmp_path / "runtime" / "rings"
