"""``metabonk guest``: light, since there may be many, and quick to end where there is nothing."""

import os
import subprocess
import sys
from pathlib import Path

from metabonk.broadcast.ring_layout import HEAD_OFFSET
from metabonk.settings import write_settings
from tests.support.guests import make_settings
from tests.support.machine_speed import SLOWNESS
from tests.support.rings import make_ring


def guest(folder: Path, ring: Path) -> "subprocess.CompletedProcess[str]":
    file = folder / "settings.json"
    write_settings(make_settings(folder, 1), file)
    command = (
        *(sys.executable, "-m", "metabonk.cli.main", "guest", "--settings", str(file)),
        *("--run", str(folder), "--parent", str(os.getpid()), "--index", "1"),
        *("--name", "robot", "--port", "2", "--ring", str(ring)),
    )
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60 * SLOWNESS, check=False
    )


def test_it_imports_neither_pytorch_nor_games():
    code = (
        "import sys, metabonk.cli.guest;"
        "print([name for name in ('torch', 'vizdoom', 'gymnasium', 'cv2') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_ring_that_is_gone_is_no_failure(tmp_path: Path):
    ended = guest(tmp_path, tmp_path / "robot.ring")
    assert ended.returncode == 0 and "robot.ring is gone" in ended.stderr


def test_a_ring_of_another_version_is_refused_in_a_sentence(tmp_path: Path):
    ring = tmp_path / "robot.ring"
    writer = make_ring(ring)
    data = bytearray(ring.read_bytes())
    data[HEAD_OFFSET + 8] = 99
    writer.close()
    ring.write_bytes(data)
    ended = guest(tmp_path, ring)
    assert ended.returncode == 1
    assert "another version of MetaBonk wrote this ring (format 99" in ended.stderr
    assert "Traceback" not in ended.stderr
