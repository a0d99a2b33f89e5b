"""What the machine has left."""

from types import SimpleNamespace

import pytest

from metabonk.worker import spare as spare_module
from metabonk.worker.spare import SpareCores


def times(**seconds: float) -> SimpleNamespace:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return SimpleNamespace(**{**dict.fromkeys(names, 0.0), **seconds})


def test_idle_cores_and_those_that_work_in_the_background_are_spare(
    monkeypatch: pytest.MonkeyPatch,
):
    counted = iter(
        [
            times(user=100),
            times(user=102, system=1, nice=3, idle=1, iowait=1),
            times(user=102, system=1, nice=3, idle=1, iowait=1),
            times(user=106, system=1, nice=3, idle=1, iowait=1, steal=4),
        ]
    )
    monkeypatch.setattr(spare_module.psutil, "cpu_times", lambda: next(counted))
    monkeypatch.setattr(spare_module, "available_cores", lambda: 4)
    cores = SpareCores()
    assert cores.since_last() == pytest.approx(4 * 5 / 8)
    assert cores.since_last() == 0.0, "no time has passed"
    assert cores.since_last() == 0.0


def test_the_machine_says_how_many_it_has():
    cores = SpareCores()
    assert 0 <= cores.since_last() <= spare_module.available_cores()
