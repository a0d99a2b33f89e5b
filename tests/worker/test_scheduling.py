"""Number of games of a worker, and their shares of its cores."""

import pytest

from metabonk.settings import Settings
from metabonk.worker.scheduling import (
    Schedule,
    double_buffer,
    game_processes,
    games_per_worker,
    make_schedule,
    run_others_while_live,
)


@pytest.mark.parametrize(
    ("cores", "workers", "games"),
    [(2, 1, 2), (2, 2, 1), (2, 4, 1), (16, 2, 8), (16, 4, 4), (64, 2, 16), (1, 8, 1)],
)
def test_a_worker_plays_one_game_per_core_it_has_to_itself_and_at_most_sixteen(
    cores: int, workers: int, games: int
):
    assert games_per_worker(Settings(workers=workers), cores) == games


@pytest.mark.parametrize(
    ("cores", "workers", "games"), [(16, 8, 16), (16, 16, 8), (16, 2, 32), (4, 2, 16), (2, 64, 1)]
)
def test_an_inference_server_decides_for_eight_engines_per_core(
    cores: int, workers: int, games: int
):
    for enabled in (True, False):
        settings = Settings.model_validate({"workers": workers, "stream": {"enabled": enabled}})
        assert games_per_worker(settings, cores, shares_inference=True) == games


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(2, 2, 1), (2, 1, 2), (16, 8, 2), (64, 2, 8), (2, 64, 1)]
)
def test_a_thread_steps_games_for_each_core_that_a_worker_has_to_itself(
    cores: int, workers: int, threads: int
):
    assert make_schedule(Settings(workers=workers), cores).concurrent_steps == threads


def test_the_number_of_games_can_be_set_and_is_one_where_nothing_learns():
    chosen = Settings.model_validate({"worker": {"games_per_worker": 12}})
    assert games_per_worker(chosen, 2) == 12
    unseen = Settings.model_validate({"stream": {"enabled": False}, "workers": 64})
    assert games_per_worker(unseen, 2) == 24
    playing = Settings.model_validate({"worker": {"games_per_worker": 12}, "mode": "play"})
    assert games_per_worker(playing, 2) == 1


@pytest.mark.parametrize(("step_ms", "games"), [(0.02, 32), (0.8, 20), (1, 16), (5, 8), (100, 8)])
def test_of_games_of_this_process_one_thread_plays_as_many_as_it_steps_in_a_turn(
    step_ms: float, games: int
):
    for enabled in (True, False):
        settings = Settings.model_validate({"workers": 8, "stream": {"enabled": enabled}})
        assert games_per_worker(settings, 2, step_ms / 1000) == games


@pytest.mark.parametrize(
    ("cores", "workers", "step_ms", "processes", "games"),
    [
        (16, 8, 2, 2, 8),
        (16, 2, 2, 8, 17),
        (64, 1, 2, 16, 32),
        (2, 1, 2, 2, 8),
        (2, 2, 2, 0, 8),
        (16, 16, 2, 0, 8),
        (16, 2, 0.9, 0, 18),
    ],
)
def test_slow_games_get_a_process_for_each_core_that_a_worker_has_to_itself(
    cores: int, workers: int, step_ms: float, processes: int, games: int
):
    settings = Settings(workers=workers)
    assert game_processes(settings, cores, step_ms / 1000) == processes
    assert games_per_worker(settings, cores, step_ms / 1000) == games


def test_there_are_no_more_processes_than_unseen_games():
    few = Settings.model_validate({"workers": 1, "worker": {"games_per_worker": 3}})
    assert game_processes(few, 16, 0.002) == 2
    playing = Settings.model_validate({"workers": 1, "mode": "play"})
    assert game_processes(playing, 16, 0.002) == 0


@pytest.mark.parametrize(
    ("cores", "workers", "sessions", "others"),
    [(2, 1, 1, True), (2, 2, 1, False), (4, 2, 2, True), (16, 4, 8, True), (4, 2, 1, False)],
)
def test_other_games_run_beside_a_live_one_where_no_standby_worker_does_the_learning(
    cores: int, workers: int, sessions: int, others: bool
):
    settings = Settings.model_validate({"workers": workers, "cpu": {"max_sessions": sessions}})
    assert run_others_while_live(settings, cores) is others


@pytest.mark.parametrize(
    ("cores", "workers", "halves"), [(2, 1, False), (3, 1, True), (4, 4, False), (16, 4, True)]
)
def test_games_take_turns_in_halves_where_workers_and_learner_leave_a_core(
    cores: int, workers: int, halves: bool
):
    assert double_buffer(Settings(workers=workers), cores) is halves


@pytest.mark.parametrize("wait", [True, False])
def test_pausing_for_the_learner_is_a_setting(wait: bool):
    settings = Settings.model_validate({"worker": {"wait_for_learner": wait}, "workers": 1})
    assert make_schedule(settings, 16) == Schedule(
        concurrent_steps=8,
        pause_when_behind=wait,
        run_others_while_live=True,
        double_buffer=True,
    )
