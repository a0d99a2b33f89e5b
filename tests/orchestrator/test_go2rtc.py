"""How go2rtc is found, and what it is told."""

import json
from pathlib import Path

import pytest

from metabonk.orchestrator import go2rtc
from metabonk.runs.layout import GO2RTC_FILE
from metabonk.settings import Settings
from tests.support.go2rtc_stand_in import LISTEN, put


def wanting(**more: object) -> Settings:
    return Settings.model_validate({"go2rtc": {"enabled": True, **more}, "workers": 2})


@pytest.fixture(autouse=True)
def _nothing_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_it_is_found_on_the_path_and_the_named_one_comes_first(tmp_path: Path):
    assert go2rtc.find(wanting()) is None
    on_path = put(tmp_path / "bin")
    assert go2rtc.find(wanting()) == on_path
    named = put(tmp_path)
    assert go2rtc.find(wanting(bin=named)) == named
    assert go2rtc.note(wanting(bin=named)) is None


def test_where_it_is_missing_a_sentence_says_what_serves_instead(tmp_path: Path):
    said = go2rtc.note(wanting())
    assert said is not None and "METABONK_GO2RTC_BIN" in said and "transport=webrtc" in said
    (tmp_path / "text").write_text("no program")
    assert "text', which is no program" in (go2rtc.note(wanting(bin=tmp_path / "text")) or "")
    assert go2rtc.note(Settings()) is None, "nobody asked"
    assert go2rtc.child(wanting(), tmp_path) is None
    assert not go2rtc.is_used(wanting())


def test_it_gets_a_stream_for_each_worker_and_stays_on_loopback(tmp_path: Path):
    put(tmp_path / "bin")
    remote = wanting().model_copy(update={"host": "0.0.0.0"})
    child = go2rtc.child(remote, tmp_path)
    assert child is not None and not child.vital
    config = json.loads((tmp_path / GO2RTC_FILE).read_text())
    assert config["streams"] == {
        "omega-0": "http://127.0.0.1:5000/stream.ts",
        "omega-1": "http://127.0.0.1:5001/stream.ts",
    }
    assert config["api"]["listen"] == "127.0.0.1:1984"
    for section in ("api", "rtsp", "srtp", "webrtc"):
        listen = config[section]["listen"]
        assert LISTEN.search(listen) and (listen == "" or listen.startswith("127.0.0.1:"))
    assert config["webrtc"]["ice_servers"] == [], "nobody outside is asked"


def test_without_being_asked_for_it_is_left_alone(tmp_path: Path):
    put(tmp_path / "bin")
    assert go2rtc.child(Settings(), tmp_path) is None
    assert not (tmp_path / GO2RTC_FILE).exists()
