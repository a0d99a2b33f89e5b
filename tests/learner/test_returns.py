from metabonk.learner.returns import WINDOW, Returns
from metabonk.policy.rollout import EndedEpisode


def episode(total: float, length: int = 10) -> EndedEpisode:
    return EndedEpisode(total_reward=total, length=length)


def test_before_the_first_episode_there_is_nothing_to_say():
    returns = Returns()
    assert returns.mean is None
    assert returns.mean_length is None
    assert not returns.complete


def test_the_mean_is_of_the_last_episodes():
    returns = Returns()
    returns.add([episode(-1000.0)] * 7)
    returns.add([episode(2.0, 4)] * (WINDOW // 2) + [episode(4.0, 8)] * (WINDOW // 2))
    assert returns.complete
    assert (returns.mean, returns.mean_length) == (3.0, 6.0)
