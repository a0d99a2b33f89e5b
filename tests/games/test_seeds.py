"""Seeds of episodes and of actions."""

from itertools import islice, product

from metabonk.games import Purpose, action_seed, episode_seed, episode_seeds

TRAINING, EVALUATION = Purpose


def first_thousand(purpose: Purpose, **process: int) -> set[int]:
    return set(islice(episode_seeds(0, purpose, **process), 1000))


def test_seeds_depend_on_nothing_but_the_arguments():
    assert episode_seed(7, TRAINING, worker=1, start=2, game=3, episode=4) == 625_414_274
    assert action_seed(7, TRAINING, worker=1, start=2) == 10_040_511_365_380_042_851


def test_another_start_worker_game_or_run_has_other_episodes():
    alike = dict(worker=1, start=2, game=3)
    seeds = first_thousand(TRAINING, **alike)
    for changed in alike:
        assert not seeds & first_thousand(TRAINING, **(alike | {changed: 4}))
    assert not seeds & set(islice(episode_seeds(1, TRAINING, **alike), 1000))
    # By chance, a pair of a thousand would be the same once in two thousand draws.
    assert len(seeds) == 1000


def test_no_evaluation_plays_an_episode_of_training():
    evaluation = first_thousand(EVALUATION)
    for worker, game in product(range(8), range(4)):
        assert not evaluation & first_thousand(TRAINING, worker=worker, start=1, game=game)
    assert min(evaluation) >= 2**30


def test_seeds_fit_the_signed_integers_of_games():
    for purpose in Purpose:
        seeds = first_thousand(purpose)
        assert 0 <= min(seeds) < max(seeds) < 2**31


def test_the_actions_of_every_process_are_sampled_anew():
    processes = product(Purpose, range(8), range(8))
    seeds = {
        action_seed(0, purpose, worker=worker, start=start) for purpose, worker, start in processes
    }
    assert len(seeds) == 128
