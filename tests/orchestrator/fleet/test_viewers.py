from metabonk.orchestrator.fleet.viewers import Viewers
from tests.support.statuses import status


def test_a_page_that_shows_several_workers_has_one_viewer():
    viewers = Viewers()
    with (
        viewers.watching("omega-0", "broadcast"),
        viewers.watching("omega-1", "broadcast"),
        viewers.watching("omega-1", "another"),
    ):
        seen = [status(0, stream_active_clients=1), status(1, stream_active_clients=2)]
        assert viewers.count(seen) == 2
    assert viewers.count([status(0), status(1)]) == 0


def test_whoever_opens_a_worker_itself_counts_beside_them():
    viewers = Viewers()
    with viewers.watching("omega-0", "page"):
        assert viewers.count([status(0, stream_active_clients=3)]) == 3
        assert viewers.count([status(0, stream_active_clients=0)]) == 1, "not reported yet"
