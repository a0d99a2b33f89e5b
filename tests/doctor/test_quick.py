"""Only what a person should act on is seen at a glance, and it is seen quickly."""

import time
from pathlib import Path

import pytest

from metabonk.doctor import gpus, host
from metabonk.doctor import quick as glance_module
from metabonk.doctor.quick import glance
from metabonk.encoding.probe import ProbeCache
from metabonk.settings import Settings
from tests.support.machines import GEFORCE, pools_of


def test_a_sound_machine_has_nothing_to_say_and_what_breaks_is_said_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = Settings.model_validate({"paths": {"runs": tmp_path, "logs": tmp_path}})
    pools, proofs = pools_of(tmp_path, GEFORCE), ProbeCache(tmp_path)
    monkeypatch.setattr(gpus, "_has_encode_library", lambda: True)
    assert glance(settings, pools, proofs) == []
    for module, name, broken, words in (
        (host, "LEAST_DISK", 1 << 60, "free some disk"),
        (host, "LEAST_SHARED_MEMORY", 1 << 60, "--shm-size=1g"),
        (gpus, "OLDEST_DRIVER", 1000, "update the driver"),
        (gpus, "_has_encode_library", lambda: False, "libnvidia-encode1"),
    ):
        with monkeypatch.context() as change:
            change.setattr(module, name, broken)
            monkeypatch.setattr(gpus, "in_container", lambda: False)
            (found,) = glance(settings, pools, proofs)
            assert words in (found.do or "")
    assert glance(settings, pools, proofs) == []


def test_shared_memory_is_of_no_use_to_other_games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(host, "LEAST_SHARED_MEMORY", 1 << 60)
    for game, count in (("doom:basic", 1), ("gym:CartPole-v1", 0)):
        settings = Settings.model_validate({"game": game, "paths": {"runs": tmp_path}})
        assert len(glance(settings, pools_of(tmp_path), ProbeCache(tmp_path))) == count


def test_it_takes_milliseconds(tmp_path: Path):
    settings = Settings.model_validate({"paths": {"runs": tmp_path, "logs": tmp_path}})
    pools, proofs = pools_of(tmp_path, GEFORCE), ProbeCache(tmp_path)
    took = []
    for _ in range(20):
        began = time.thread_time()
        glance_module.glance(settings, pools, proofs)
        took.append(time.thread_time() - began)
    assert min(took) < 0.01, "CPU time, whatever else the machine does"
