"""The variables of a trainer: those of the process that has the ring open, and of no other."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk.guest.trainer_environment import trainer_environment
from tests.support.broadcasting_trainer import broadcasting


def test_a_trainers_variables_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUJOCO_GL", "egl=ü\n2")
    with broadcasting(tmp_path / "trainer", "CartPole-v1") as trainer:
        monkeypatch.setenv("MUJOCO_GL", "osmesa")
        variables = trainer_environment(trainer.process.pid, trainer.ring)
        assert variables is not None
        assert variables["MUJOCO_GL"] == "egl=ü\n2"
        assert variables["PATH"] == os.environ["PATH"]


def test_another_process_of_that_pid_is_no_trainer(tmp_path: Path):
    ring = tmp_path / "a.ring"
    ring.write_bytes(b"ring")
    assert trainer_environment(os.getpid(), ring) is None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert trainer_environment(other.pid, ring) is None
        other.kill()
    with contextlib.suppress(ProcessLookupError):
        assert trainer_environment(2**22 + 1, ring) is None
    assert trainer_environment(os.getpid(), tmp_path / "gone.ring") is None
