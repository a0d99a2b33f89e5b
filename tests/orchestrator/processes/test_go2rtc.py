import json
from pathlib import Path
from typing import Any

import pytest

from metabonk.errors import StartError
from metabonk.orchestrator.processes import go2rtc
from metabonk.settings import Settings
from metabonk.settings.nodes import Nodes
from tests.support.go2rtc_stand_in import LISTEN, install

RUNS_PROGRAMS = {"exec", "echo", "expr"}
"""Modules whose sources are command lines (go2rtc's ``README.md``, "Security")."""


@pytest.fixture(autouse=True)
def _empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def enabled(**more: object) -> Settings:
    return Settings.model_validate({"go2rtc": {"enabled": True, **more}, "workers": 2})


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
    assert go2rtc.child_specs(enabled()) == []
    assert not go2rtc.is_used(enabled())


def test_its_configuration_is_an_argument_and_no_file(tmp_path: Path):
    program = install(tmp_path / "bin")
    before = set(tmp_path.rglob("*"))
    (child,) = go2rtc.child_specs(enabled())
    assert not child.vital
    *_, flag, config = child.command()
    assert (flag, json.loads(config)) == ("--config", json.loads(json.dumps(configuration())))
    assert str(program) in child.command()
    assert config.startswith("{"), "go2rtc takes anything else for the name of a file"
    assert {path.name for path in set(tmp_path.rglob("*")) - before} <= {"metabonk"}


def configuration(**more: object) -> dict[str, Any]:
    return go2rtc.configuration(enabled().model_copy(update=more))


def test_its_api_listens_where_no_browser_reaches_it(tmp_path: Path):
    api = configuration(host="0.0.0.0")["api"]
    assert api["listen"] == "", "by default it listens on every address"
    assert api["unix_listen"] == str(tmp_path / "metabonk" / "go2rtc-8040.sock")
    assert (tmp_path / "metabonk").stat().st_mode & 0o077 == 0
    assert api["origin"] == "", "no Access-Control-Allow-Origin"


def test_it_loads_nothing_that_runs_programs_or_changes_its_configuration():
    config = configuration()
    assert set(config["app"]["modules"]).isdisjoint(RUNS_PROGRAMS)
    assert {"api", "ws", "http", "rtsp", "webrtc", "mp4", "hls"} < set(config["app"]["modules"])
    allowed = set(config["api"]["allow_paths"])
    assert allowed.isdisjoint({"/api/config", "/api/restart", "/api/exit"})
    assert {"/", "/api", "/api/ws", "/api/streams", "/api/webrtc"} < allowed


def test_it_gets_a_stream_for_each_worker_and_stays_on_loopback():
    config = configuration(host="0.0.0.0")
    assert config["streams"] == {
        "program": "http://127.0.0.1:8040/program.ts?wait=1",
        "omega-0": "http://127.0.0.1:5000/stream.ts?wait=1",
        "omega-1": "http://127.0.0.1:5001/stream.ts?wait=1",
    }
    assert config["rtsp"]["listen"] == "127.0.0.1:8554"
    for section in ("api", "rtsp", "srtp", "webrtc"):
        listen = config[section]["listen"]
        assert LISTEN.search(listen) and (listen == "" or listen.startswith("127.0.0.1:"))
    assert config["webrtc"]["ice_servers"] == [], "no server on the internet is asked"


def test_streams_of_nodes_come_by_way_of_the_head():
    streams = configuration(nodes=Nodes(count=2))["streams"]
    assert streams["omega-1"] == "http://127.0.0.1:8040/worker/omega-1/stream.ts?wait=1"


def test_a_socket_with_too_long_a_path_is_noted(tmp_path: Path):
    install(tmp_path / "bin")
    long = tmp_path / ("long" * 30)
    settings = Settings.model_validate({"go2rtc": {"enabled": True}, "paths": {"runtime": long}})
    said = go2rtc.note(settings)
    assert said is not None and "at most 107" in said and "METABONK_PATHS_RUNTIME" in said
    assert go2rtc.child_specs(settings) == [] and not go2rtc.is_used(settings)


def test_a_folder_of_others_is_refused_for_its_socket(tmp_path: Path):
    install(tmp_path / "bin")
    (tmp_path / "metabonk").mkdir()
    (tmp_path / "metabonk").chmod(0o777)
    with pytest.raises(StartError, match="writable by other users"):
        go2rtc.child_specs(enabled())


def test_without_being_enabled_nothing_is_started(tmp_path: Path):
    install(tmp_path / "bin")
    assert go2rtc.child_specs(Settings()) == []
