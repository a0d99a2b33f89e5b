from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the rings, which is this test's own; children inherit it."""
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))
    return tmp_path / "runtime" / "rings"
