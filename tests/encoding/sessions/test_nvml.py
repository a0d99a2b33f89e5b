"""Which of the driver's sessions are ours."""

import pynvml
import pytest

from metabonk.encoding.sessions.lease import Holder
from metabonk.encoding.sessions.nvml import DriverSession, Nvml, foreign_sessions


def session(pid: int) -> DriverSession:
    return DriverSession(pid, 1280, 720, 30)


def holder(pid: int, *, session_open: bool = True) -> Holder:
    return Holder(slot=0, pid=pid, session_open=session_open)


def test_a_session_of_a_lease_is_ours():
    assert foreign_sessions([session(1), session(2)], 2, [holder(1), holder(2)]) == 0


def test_a_session_of_no_lease_is_foreign():
    assert foreign_sessions([session(1), session(9)], 2, [holder(1)]) == 1


def test_a_second_session_of_one_lease_is_foreign():
    assert foreign_sessions([session(1), session(1)], 2, [holder(1)]) == 1


def test_a_lease_that_has_opened_nothing_yet_hides_no_foreign_session():
    assert foreign_sessions([session(9)], 1, [holder(1, session_open=False)]) == 1


def test_in_a_container_host_pids_match_none_of_ours_and_open_leases_account_for_them():
    assert foreign_sessions([session(70_001), session(70_002)], 2, [holder(1), holder(2)]) == 0
    assert foreign_sessions([session(70_001), session(70_002)], 2, [holder(1)]) == 1


def test_a_count_without_a_list_is_believed():
    assert foreign_sessions([], 3, [holder(1)]) == 2


def test_a_session_that_the_driver_does_not_show_yet_is_no_foreign_one():
    assert foreign_sessions([], 0, [holder(1)]) == 0


def test_a_machine_without_a_driver_is_ordinary(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    census = Nvml().census()
    assert census.gpus == ()
    assert "no NVIDIA driver" in (census.unavailable or "")


def test_gpus_that_the_user_hides_are_not_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: pytest.fail("the driver was asked"))
    census = Nvml(hidden=True).census()
    assert census.gpus == ()
    assert "CUDA_VISIBLE_DEVICES" in (census.unavailable or "")
