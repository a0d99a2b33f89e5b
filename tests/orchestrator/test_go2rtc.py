import json
from pathlib import Path

import pytest

from metabonk.orchestrator import go2rtc
from metabonk.runs.layout import GO2RTC_FILE
from metabonk.settings import Settings
from tests.support.go2rtc_stand_in import LISTEN, install


def enabled(**more: object) -> Settings:
    return Settings.model_validate({"go2rtc": {"enabled": True, **more}, "workers": 2})


@pytest.fixture(autouse=True)
def _empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_it_is_found_on_the_path_and_the_configured_one_takes_precedence(tmp_path: Path):
    assert go2rtc.find(enabled()) is None
    on_path = install(tmp_path / "bin")
    assert go2rtc.find(enabled()) == on_path
    configured = install(tmp_path)
    assert go2rtc.find(enabled(path=configured)) == configured
    assert go2rtc.note(enabled(path=configured)) is None


def test_if_it_is_missing_a_sentence_names_the_substitute(tmp_path: Path):
    said = go2rtc.note(enabled())
    assert said is not None and "METABONK_GO2RTC_PATH" in said and "transport=webrtc" in said
    (tmp_path / "text").write_text("no program")
    said = go2rtc.note(enabled(path=tmp_path / "text"))
    assert said is not None and "text', which is not a program" in said
    assert go2rtc.note(Settings()) is None, "it isn't enabled"
    assert go2rtc.child_specs(enabled(), tmp_path) == []
    assert not go2rtc.is_used(enabled())


def test_it_gets_a_stream_for_each_worker_and_stays_on_loopback(tmp_path: Path):
    install(tmp_path / "bin")
    remote = enabled().model_copy(update={"host": "0.0.0.0"})
    (child,) = go2rtc.child_specs(remote, tmp_path)
    assert not child.vital
    config = json.loads((tmp_path / GO2RTC_FILE).read_text())
    assert config["streams"] == {
        "omega-0": "http://127.0.0.1:5000/stream.ts",
        "omega-1": "http://127.0.0.1:5001/stream.ts",
    }
    assert config["api"]["listen"] == "127.0.0.1:1984"
    for section in ("api", "rtsp", "srtp", "webrtc"):
        listen = config[section]["listen"]
        assert LISTEN.search(listen) and (listen == "" or listen.startswith("127.0.0.1:"))
    assert config["webrtc"]["ice_servers"] == [], "no server on the internet is asked"


def test_without_being_enabled_nothing_is_written(tmp_path: Path):
    install(tmp_path / "bin")
    assert go2rtc.child_specs(Settings(), tmp_path) == []
    assert not (tmp_path / GO2RTC_FILE).exists()
