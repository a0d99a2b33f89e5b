"""Telling our sessions from those of other programs."""

import pynvml
import pytest

from metabonk.encoding.sessions.lease import Holder
from metabonk.encoding.sessions.nvml import DriverSession, Nvml, external_sessions


def session(pid: int) -> DriverSession:
    return DriverSession(pid, 1280, 720, 30)


def holder(pid: int, *, session_open: bool = True) -> Holder:
    return Holder(slot=0, pid=pid, session_open=session_open)


def test_a_session_with_a_lease_is_ours():
    assert external_sessions([session(1), session(2)], 2, [holder(1), holder(2)]) == 0


def test_a_session_without_a_lease_is_external():
    assert external_sessions([session(1), session(9)], 2, [holder(1)]) == 1


def test_a_second_session_on_one_lease_is_external():
    assert external_sessions([session(1), session(1)], 2, [holder(1)]) == 1


def test_a_lease_without_an_open_session_hides_no_external_one():
    assert external_sessions([session(9)], 1, [holder(1, session_open=False)]) == 1


def test_in_a_container_open_leases_account_for_sessions_with_unknown_pids():
    assert external_sessions([session(70_001), session(70_002)], 2, [holder(1), holder(2)]) == 0
    assert external_sessions([session(70_001), session(70_002)], 2, [holder(1)]) == 1


def test_a_count_without_a_list_is_trusted():
    assert external_sessions([], 3, [holder(1)]) == 2


def test_a_session_not_yet_reported_by_the_driver_is_not_external():
    assert external_sessions([], 0, [holder(1)]) == 0


def test_a_machine_without_a_driver_has_an_empty_inventory(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    inventory = Nvml().inventory()
    assert inventory.gpus == ()
    assert "no NVIDIA driver" in (inventory.unavailable or "")


def test_the_driver_is_not_queried_for_hidden_gpus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: pytest.fail("the driver was queried"))
    inventory = Nvml(hidden=True).inventory()
    assert inventory.gpus == ()
    assert "CUDA_VISIBLE_DEVICES" in (inventory.unavailable or "")
