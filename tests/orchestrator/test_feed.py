import json

from metabonk.messages.fleet import Featured, Fleet
from metabonk.messages.workers import Mode, WorkerStatus
from metabonk.orchestrator.feed import NOTHING, View
from tests.support.statuses import status

FEATURED = Featured(live=["omega-0"], rotate_s=30.0, next=None, next_in_s=None)


def fleet(*workers: WorkerStatus, viewers: int = 0) -> Fleet:
    return Fleet(
        run="now",
        game="doom:basic",
        mode=Mode.TRAIN,
        workers={worker.instance_id: worker for worker in workers},
        viewers=viewers,
        learner=None,
        problems=[],
    )


def test_a_new_page_is_told_everything():
    whole = fleet(status(0), status(1))
    change = View(whole, FEATURED).since(NOTHING)
    assert {**change.fleet, "workers": change.workers} == whole.model_dump(mode="json")
    assert change.featured == FEATURED


def test_from_then_on_it_is_told_what_has_changed():
    before = View(fleet(status(0, stream_error="no encoder"), status(1)), FEATURED)
    after = View(fleet(status(0, step=7), status(2), viewers=3), FEATURED)
    change = after.since(before)
    assert change.fleet == {"viewers": 3}
    assert change.workers["omega-0"] == {"step": 7, "stream_error": None}
    assert change.workers["omega-2"] == status(2).model_dump(mode="json")
    assert change.gone == ["omega-1"]
    assert change.featured is None


def test_nothing_new_takes_few_bytes():
    view = View(fleet(*(status(index) for index in range(64))), FEATURED)
    assert len(json.dumps(view.since(view).model_dump(mode="json"))) < 100
