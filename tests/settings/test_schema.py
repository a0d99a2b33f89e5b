"""Settings that follow from others."""

import pytest
from pydantic import ValidationError

from metabonk.settings import Settings
from metabonk.settings import schema as schema_module
from metabonk.settings.schema import Stream


@pytest.mark.parametrize(
    ("cores", "workers", "games"),
    [(2, 1, 2), (2, 2, 1), (2, 4, 1), (16, 2, 8), (16, 4, 4), (64, 2, 16), (1, 8, 1)],
)
def test_a_worker_plays_a_game_for_each_core_it_has_to_itself_and_sixteen_at_most(
    cores: int, workers: int, games: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema_module, "available_cores", lambda: cores)
    assert Settings(workers=workers).games_per_worker == games


def test_games_can_be_chosen_and_where_nothing_learns_there_is_one():
    chosen = Settings.model_validate({"worker": {"games_per_worker": 12}})
    assert chosen.games_per_worker == 12
    unseen = Settings.model_validate({"stream": {"enabled": False}, "workers": 64})
    assert unseen.games_per_worker == 24
    playing = Settings.model_validate({"worker": {"games_per_worker": 12}, "mode": "play"})
    assert playing.games_per_worker == 1


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
    ("cores", "workers", "beside"), [(2, 1, True), (2, 2, False), (4, 2, True), (16, 4, True)]
)
def test_games_play_beside_a_live_one_where_no_worker_in_standby_does_the_learning(
    cores: int, workers: int, beside: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema_module, "available_cores", lambda: cores)
    assert Settings(workers=workers).plays_beside_live is beside


@pytest.mark.parametrize(
    ("cores", "workers", "overlaps"), [(2, 1, False), (3, 1, True), (4, 4, False), (16, 4, True)]
)
def test_deciding_overlaps_with_moving_where_workers_and_learner_leave_a_core(
    cores: int, workers: int, overlaps: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schema_module, "available_cores", lambda: cores)
    assert Settings(workers=workers).overlaps_deciding is overlaps


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
