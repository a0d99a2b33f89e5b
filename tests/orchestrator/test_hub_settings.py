"""Settings of a hub: free ports, a folder for logs, and no fleet."""

import os
import platform
import socket
from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.orchestrator import hub_settings as hub_settings_module
from metabonk.orchestrator.hub_settings import hub_settings
from metabonk.settings import Settings
from tests.support.serving import free_ports


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    page, orchestrator = free_ports(2, spare=4)
    return Settings.model_validate(
        {
            "ports": {"page": page, "orchestrator": orchestrator},
            "paths": {"runtime": tmp_path / "runtime"},
            "go2rtc": {"enabled": True},
        }
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_hub_has_no_fleet_and_its_logs_are_the_users(given: Settings, home: Path):
    settings = hub_settings(given, fixed_page=False)
    assert settings.workers == 0
    assert not settings.go2rtc.enabled
    assert (settings.ports.page, settings.ports.orchestrator) == (
        given.ports.page,
        given.ports.orchestrator,
    )
    assert settings.paths.logs == home / ".local" / "state" / "metabonk" / "logs" / platform.node()
    assert settings.paths.logs.is_dir()


def test_logs_of_long_ago_are_removed_where_they_are_the_hubs_own(given: Settings):
    folder = hub_settings(given, fixed_page=False).paths.logs
    (folder / "old.log").touch()
    os.utime(folder / "old.log", (0, 0))
    hub_settings(given, fixed_page=False)
    assert not (folder / "old.log").exists()


def test_ports_in_use_are_left_to_whoever_has_them(given: Settings):
    with socket.socket() as other:
        other.bind(("127.0.0.1", given.ports.page))
        other.listen()
        assert hub_settings(given, fixed_page=False).ports.page > given.ports.page
        assert hub_settings(given, fixed_page=True).ports.page == given.ports.page


def test_an_address_that_this_machine_lacks_is_an_error(given: Settings):
    elsewhere = given.model_copy(update={"host": "192.0.2.1"})
    with pytest.raises(StartError, match="the page can't be served"):
        hub_settings(elsewhere, fixed_page=False)


def test_without_a_home_logs_are_beside_the_locks(
    given: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for value in ("", "/proc/nowhere"):
        monkeypatch.setenv("HOME", value)
        settings = hub_settings(given, fixed_page=False)
        assert settings.paths.logs == tmp_path / "runtime" / "logs"


def test_the_xdg_folder_and_the_users_choice_come_first(
    given: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    state = tmp_path / "state" / "metabonk" / "logs" / platform.node()
    assert hub_settings(given, fixed_page=False).paths.logs == state
    chosen = Settings.model_validate({"paths": {"logs": "mine", "runtime": "run"}})
    settings = hub_settings(chosen, fixed_page=False)
    assert settings.paths.logs == tmp_path / "mine"
    assert settings.paths.runtime == tmp_path / "run"


def test_in_a_checkout_logs_are_where_a_fleets_are(
    given: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(hub_settings_module, "CHECKOUT", tmp_path)
    assert hub_settings(given, fixed_page=False).paths.logs == tmp_path / "logs"
