"""Settings that follow from others."""

import pytest
from pydantic import ValidationError

from metabonk.settings import Settings
from metabonk.settings import schema as schema_module
from metabonk.settings.schema import Stream


@pytest.mark.parametrize(
    ("cores", "given", "seconds"), [(2, None, 1.0), (16, None, 0.25), (2, 0, 0)]
)
def test_starts_are_spaced_by_cores_unless_it_is_chosen(
    cores: int, given: float | None, seconds: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema_module, "available_cores", lambda: cores)
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
def test_a_stream_is_as_large_as_was_set_or_by_what_encodes(
    given: dict[str, int], hardware: tuple[int, int], software: tuple[int, int]
):
    stream = Stream.model_validate(given)
    assert stream.effective_size(hardware=True) == hardware
    assert stream.effective_size(hardware=False) == software


def test_a_bitrate_is_what_was_set_or_by_what_encodes():
    assert Stream().effective_bitrate(hardware=True) == 8_000_000
    assert Stream().effective_bitrate(hardware=False) == 4_000_000
    assert Stream(bitrate_kbps=500).effective_bitrate(hardware=True) == 500_000


@pytest.mark.parametrize(
    ("cores", "given", "fps"), [(2, 0, 30), (4, 0, 30), (5, 0, 60), (2, 24, 24)]
)
def test_sixty_frames_a_second_are_for_more_than_four_cores_unless_it_is_chosen(
    cores: int, given: int, fps: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema_module, "available_cores", lambda: cores)
    assert Stream(fps=given).effective_fps == fps


@pytest.mark.parametrize("given", ["0,2", "0, 2", [0, 2], (0, 2), ["0", "2"]])
def test_gpus_are_a_list_or_the_same_with_commas_between(given: object):
    settings = Settings.model_validate({"gpus": given})
    assert settings.gpus == (0, 2)
    assert Settings.model_validate_json(settings.model_dump_json()).gpus == (0, 2)


@pytest.mark.parametrize("given", ["zero", "0;1", "0,0", "-1", "0,", [], [0.5, {}], 0])
def test_what_are_no_gpus_is_refused_with_a_sentence(given: object):
    with pytest.raises(ValidationError, match="must be distinct GPU indices"):
        Settings.model_validate({"gpus": given})
