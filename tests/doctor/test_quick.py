"""Quick checks return only what calls for action, and are cheap."""

import time
from pathlib import Path

import pytest

from metabonk.doctor import gpus, host
from metabonk.doctor.quick import find_problems
from metabonk.encoding.probe import ProbeCache
from metabonk.settings import Settings
from metabonk.system import shared_memory
from tests.support.machine_speed import slowness
from tests.support.machines import GEFORCE, pools_of


def test_a_sound_machine_has_no_problems_and_each_fault_is_reported_until_it_is_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = Settings.model_validate({"paths": {"runs": tmp_path, "logs": tmp_path}})
    pools, probes = pools_of(tmp_path, GEFORCE), ProbeCache(tmp_path)
    monkeypatch.setattr(gpus, "_has_encode_library", lambda: True)
    assert find_problems(settings, pools, probes) == []
    for module, name, value, words in (
        (host, "MIN_FREE_DISK", 1 << 60, "free some disk"),
        (shared_memory, "MIN_TOTAL", 1 << 60, "--shm-size=1g"),
        (gpus, "MIN_FFMPEG_DRIVER", 1000, "update the driver"),
        (gpus, "_has_encode_library", lambda: False, "libnvidia-encode1"),
    ):
        with monkeypatch.context() as change:
            change.setattr(module, name, value)
            monkeypatch.setattr(gpus, "in_container", lambda: False)
            (finding,) = find_problems(settings, pools, probes)
            assert words in (finding.action or "")
    assert find_problems(settings, pools, probes) == []


def test_shared_memory_matters_only_to_doom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_memory, "MIN_TOTAL", 1 << 60)
    for game, count in (("doom:basic", 1), ("gym:CartPole-v1", 0)):
        settings = Settings.model_validate({"game": game, "paths": {"runs": tmp_path}})
        assert len(find_problems(settings, pools_of(tmp_path), ProbeCache(tmp_path))) == count


def test_checking_takes_milliseconds(tmp_path: Path):
    settings = Settings.model_validate({"paths": {"runs": tmp_path, "logs": tmp_path}})
    pools, probes = pools_of(tmp_path, GEFORCE), ProbeCache(tmp_path)
    times = []
    for _ in range(20):
        start = time.thread_time()
        find_problems(settings, pools, probes)
        times.append(time.thread_time() - start)
    assert min(times) < 0.01 * slowness(), "CPU time, whatever else the machine does"
