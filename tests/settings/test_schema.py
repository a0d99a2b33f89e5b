"""Derived settings and validators."""

import pytest
from pydantic import ValidationError

from metabonk.settings import Settings, schema
from metabonk.settings.schema import Stream


@pytest.mark.parametrize(
    ("cores", "given", "seconds"), [(2, None, 1.0), (16, None, 0.25), (2, 0, 0)]
)
def test_the_spawn_stagger_depends_on_cores_unless_set(
    cores: int, given: float | None, seconds: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema, "available_cores", lambda: cores)
    worker = Settings.model_validate({"worker": {"spawn_stagger_s": given}}).worker
    assert worker.effective_spawn_stagger_s == seconds


@pytest.mark.parametrize(
    ("given", "hardware", "software"),
    [
        ({}, (1920, 1080), (1280, 720)),
        ({"width": 640, "height": 480}, (640, 480), (640, 480)),
        ({"width": 1600}, (1600, 900), (1600, 900)),
        ({"height": 360}, (640, 360), (640, 360)),
    ],
)
def test_the_stream_size_depends_on_the_encoder_unless_set(
    given: dict[str, int], hardware: tuple[int, int], software: tuple[int, int]
):
    stream = Stream.model_validate(given)
    assert stream.effective_size(hardware=True) == hardware
    assert stream.effective_size(hardware=False) == software


def test_the_bitrate_depends_on_the_encoder_unless_set():
    assert Stream().effective_bitrate(hardware=True) == 8_000_000
    assert Stream().effective_bitrate(hardware=False) == 4_000_000
    assert Stream(bitrate_kbps=500).effective_bitrate(hardware=True) == 500_000


@pytest.mark.parametrize(
    ("cores", "given", "fps"), [(2, 0, 30), (4, 0, 30), (5, 0, 60), (2, 24, 24)]
)
def test_the_frame_rate_depends_on_cores_unless_set(
    cores: int, given: int, fps: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema, "available_cores", lambda: cores)
    assert Stream(fps=given).effective_fps == fps


@pytest.mark.parametrize("given", ["0,2", "0, 2", [0, 2], (0, 2), ["0", "2"]])
def test_gpus_are_given_as_a_list_or_comma_separated(given: object):
    settings = Settings.model_validate({"gpus": given})
    assert settings.gpus == (0, 2)
    assert Settings.model_validate_json(settings.model_dump_json()).gpus == (0, 2)


@pytest.mark.parametrize("given", ["zero", "0;1", "0,0", "-1", "0,", [], [0.5, {}], 0])
def test_invalid_gpus_are_rejected(given: object):
    with pytest.raises(ValidationError, match="must be distinct GPU indices"):
        Settings.model_validate({"gpus": given})
