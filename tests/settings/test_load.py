"""Sources of settings and messages about invalid ones."""

import json
from pathlib import Path

import pytest

from metabonk.errors import SettingsError
from metabonk.settings import (
    Settings,
    load_settings,
    read_settings,
    unknown_variables,
    write_settings,
)
from metabonk.settings.validation import RENAMED


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GAME", "WORKERS", "STREAM_FPS", "STREAM_PROFILE", "MODE"):
        monkeypatch.delenv(f"METABONK_{name}", raising=False)


def own_profile(name: str, text: str = "") -> None:
    Path("profiles").mkdir()
    Path("profiles", f"{name}.toml").write_text(text)


def test_sources_take_precedence_in_the_documented_order(monkeypatch: pytest.MonkeyPatch):
    own_profile("local", "[stream]\nfps = 10\nwidth = 640\nheight = 360\n[cpu]\nmax_sessions = 9")
    Path("metabonk.toml").write_text("workers = 3\n[stream]\nfps = 20\nwidth = 800")
    monkeypatch.setenv("METABONK_STREAM_FPS", "25")
    monkeypatch.setenv("METABONK_WORKERS", "4")
    settings = load_settings({"workers": "5", "game": None})
    assert settings.workers == 5
    assert settings.stream.fps == 25
    assert settings.stream.width == 800
    assert settings.stream.height == 360
    assert settings.cpu.max_sessions == 9
    assert settings.game == Settings().game


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("METABONK_WORKERS", "")
    assert load_settings().workers == Settings().workers


@pytest.mark.parametrize("source", ["command line", "environment", "file"])
def test_every_source_can_name_a_profile_file(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Path("mine.toml").write_text("[stream]\nfps = 50")
    options = {}
    if source == "command line":
        options = {"stream_profile": "mine.toml"}
    elif source == "environment":
        monkeypatch.setenv("METABONK_STREAM_PROFILE", "mine.toml")
    else:
        Path("metabonk.toml").write_text('stream_profile = "mine.toml"')
    assert load_settings(options).stream.fps == 50


def test_an_unknown_profile_is_an_error_that_lists_own_and_shipped_ones():
    own_profile("mine")
    with pytest.raises(
        SettingsError, match=r"'nine'.*Allowed: laptop, local, mine, rtx.* the path"
    ):
        load_settings({"stream_profile": "nine"})


def test_an_own_profile_takes_precedence_over_a_shipped_one():
    own_profile("laptop", "[stream]\nwidth = 320")
    assert load_settings({"stream_profile": "laptop"}).stream.width == 320


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("NVENC_MAX_SESSIONS", "-1", "greater than or equal to 0"),
        ("NVENC_MAX_SESSIONS", "two", "valid integer"),
        ("WORKER_SPAWN_STAGGER_S", "soon", "valid number"),
        ("STREAM_ALLOW_CPU_FALLBACK", "perhaps", "valid boolean"),
        ("MODE", "watch", "'train' or 'play'"),
        ("WORKERS", "-1", "greater than or equal to 0"),
        ("STREAM_WIDTH", "1281", "multiple of 2"),
        ("HOST", "my.house", "0.0.0.0 for all"),
    ],
)
def test_an_invalid_value_is_an_error_with_setting_value_and_allowed_range(
    variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(f"METABONK_{variable}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert f"METABONK_{variable}" in message
    assert repr(value) in message
    assert allowed in message
    assert "\n" not in message


def test_every_invalid_setting_gets_a_line():
    with pytest.raises(SettingsError) as caught:
        load_settings({"workers": "none", "stream": {"fps": 1000}})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[stream]\nfsp = 30", "no setting stream.fsp; did you mean stream.fps"),
        ("[streem]\nfps = 30", "no setting streem"),
        ("workers 3", "metabonk.toml is not valid TOML"),
        ("stream = 3", "stream "),
        ("stream_profile = 3", "stream_profile"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, message: str):
    Path("metabonk.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert message in str(caught.value)


def test_an_unreadable_file_is_named():
    Path("metabonk.toml").mkdir()
    with pytest.raises(SettingsError, match=r"can't read metabonk\.toml: Is a directory"):
        load_settings()


def test_unknown_variables_are_reported_with_the_closest_setting():
    known = {"METABONK_GAME": "doom:basic", "METABONK_BROADCAST": "0", "METABONK_HUB": "0"}
    environment = {"METABONK_WORKERZ": "3", **known}
    assert list(unknown_variables(environment)) == [
        "METABONK_WORKERZ is not a setting and has no effect; did you mean METABONK_WORKERS?"
    ]


def test_children_read_the_written_settings_regardless_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
):
    settings = load_settings({"workers": 7, "nvenc": {"slot_dir": "slots"}})
    write_settings(settings, Path("settings.json"))
    monkeypatch.setenv("METABONK_WORKERS", "3")
    assert read_settings(Path("settings.json")) == settings


def test_settings_of_learning_that_nobody_has_set_are_not_written():
    settings = load_settings({"learning": {"epochs": 4, "gamma": 0.9}})
    write_settings(settings, Path("settings.json"))
    read = read_settings(Path("settings.json"))
    assert read == settings
    assert read.learning.model_fields_set == {"epochs", "gamma"}


def test_every_source_overrides_what_a_run_has_recorded():
    Path("metabonk.toml").write_text("[learning]\nepochs = 2\n")
    recorded = {"learning": {"epochs": 9, "gamma": 0.9, "seed": 4}}
    learning = load_settings({"learning": {"seed": 1}}, recorded).learning
    assert (learning.epochs, learning.gamma, learning.seed) == (2, 0.9, 1)


@pytest.mark.parametrize("old", RENAMED, ids=".".join)
def test_the_old_name_of_a_setting_is_an_error_with_the_new_one(
    old: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    section, name = old
    new = RENAMED[old]
    Path("metabonk.toml").write_text(f"[{section}]\n{name} = 1")
    with pytest.raises(SettingsError, match=rf"^{section}\.{name} is now called {'.'.join(new)} "):
        load_settings()
    Path("metabonk.toml").unlink()
    monkeypatch.setenv(f"METABONK_{section}_{name}".upper(), "1")
    with pytest.raises(SettingsError, match=f"^METABONK_.*{name.upper()} is now called METABONK_"):
        load_settings()


def test_settings_written_by_an_earlier_version_can_be_read(tmp_path: Path):
    settings = Settings.model_validate(
        {"game": "doom:basic", "learning": {"batch_size": 64}, "worker": {"games_per_worker": 3}}
    )
    values = settings.model_dump(mode="json")
    for (section, old), (_, new) in RENAMED.items():
        values[section][old] = values[section].pop(new)
    (tmp_path / "settings.json").write_text(json.dumps(values))
    assert read_settings(tmp_path / "settings.json") == settings


@pytest.mark.parametrize("text", [None, "{", "[]", '{"workers": "many"}'])
def test_unreadable_written_settings_are_a_one_line_error(text: str | None):
    if text is not None:
        Path("settings.json").write_text(text)
    with pytest.raises(SettingsError, match=r"settings\.json") as caught:
        read_settings(Path("settings.json"))
    assert "pydantic" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_short_access_token_is_rejected_without_being_printed(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("METABONK_ACCESS_TOKEN", "hunter2")
    with pytest.raises(SettingsError, match="access_token") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value) and "16" in str(caught.value)


def test_an_access_token_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("METABONK_ACCESS_TOKEN", "a-token-that-nobody-guesses")
    settings = load_settings()
    write_settings(settings, tmp_path / "settings.json")
    assert "nobody" not in (tmp_path / "settings.json").read_text() + repr(settings)
    assert read_settings(tmp_path / "settings.json").access_token is None


@pytest.mark.parametrize("profile", ["local", "laptop", "rtx5090_webrtc_8", "template"])
def test_a_shipped_profile_can_be_selected_by_name(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"stream_profile": profile})
    assert settings.stream_profile == profile


def test_the_eight_worker_profile_caps_nvenc_and_falls_back_to_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"workers": 8, "stream_profile": "rtx5090_webrtc_8"})
    assert settings.nvenc.max_sessions == 2
    assert settings.stream.allow_cpu_fallback
    assert settings.cpu.effective_max_sessions == 8, "enough without NVENC"
    assert settings.stream.effective_size(hardware=True) == (1280, 720)
    assert settings.stream.effective_fps == 30
    assert settings.stream.adaptive
