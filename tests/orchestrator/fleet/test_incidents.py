from pathlib import Path
from typing import Any

from metabonk.messages.alerts import Incident, IncidentKind
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import StreamState
from metabonk.orchestrator.fleet.incidents import (
    ENCODER_LOST_S,
    LEARNER_SILENT_S,
    LEARNER_START_S,
    LOOP_S,
    OVER_AFTER_S,
    Incidents,
    Observation,
    Watch,
)
from tests.support.statuses import status

NO_PROGRESS_S = 600.0


def learner(**changed: Any) -> LearnerStatus:
    values = {
        "pid": 1,
        "uptime_s": 1.0,
        "policy_version": 1,
        "steps_trained": 1,
        "steps_per_s": 1.0,
        "steps_dropped": 0,
        "updates": 1,
        "policy_lag": 0.0,
        "waiting": 0.0,
    }
    return LearnerStatus.model_validate({**values, **changed})


def seen(now: float, **changed: Any) -> Observation:
    values: dict[str, Any] = {
        "learns": True,
        "learner": learner(steps_trained=int(1000 * now)),
        "workers": [status(0)],
        "restarts": {},
    }
    return Observation(now, **{**values, **changed})


def kinds(found: list[Incident]) -> list[str]:
    return [incident.kind.value for incident in found]


def watch() -> Watch:
    watch = Watch(NO_PROGRESS_S, 0.0)
    assert watch.find(seen(1.0)) == []
    return watch


def test_a_learner_that_was_restarted_or_does_not_answer_is_an_incident():
    assert kinds(watch().find(seen(2.0, restarts={"learner": 1}))) == ["learner"]
    silent = watch()
    assert silent.find(seen(2.0, learner=None)) == []
    assert kinds(silent.find(seen(1.0 + LEARNER_SILENT_S, learner=None))) == ["learner"]


def test_a_learner_that_has_never_answered_may_take_minutes_to_start():
    starting = Watch(NO_PROGRESS_S, 0.0)
    assert starting.find(seen(LEARNER_START_S - 1, learner=None)) == []
    assert kinds(starting.find(seen(LEARNER_START_S, learner=None))) == ["learner"]
    playing = watch()
    assert playing.find(seen(500.0, learns=False, learner=None)) == []


def test_a_skipped_gradient_step_is_an_incident():
    watched = watch()
    assert kinds(watched.find(seen(2.0, learner=learner(gradient_steps_skipped=1)))) == [
        "not_finite"
    ]
    assert watched.find(seen(3.0, learner=learner(gradient_steps_skipped=1))) == []


def test_minutes_without_progress_are_an_incident_unless_they_are_allowed():
    stuck = learner(steps_trained=1000)
    assert kinds(watch().find(seen(1.0 + NO_PROGRESS_S, learner=stuck))) == ["no_progress"]
    patient = Watch(0.0, 0.0)
    patient.find(seen(1.0, learner=stuck))
    assert patient.find(seen(1e6, learner=stuck)) == []


def test_a_full_disk_is_an_incident():
    (incident,) = watch().find(seen(2.0, full={Path("runs"): 12}))
    assert incident.kind is IncidentKind.DISK and "12 MB" in incident.message


def test_three_restarts_in_ten_minutes_are_a_loop():
    watched = watch()
    for number in (1, 2):
        assert watched.find(seen(100.0 * number, restarts={"omega-0": number})) == []
    assert kinds(watched.find(seen(300.0, restarts={"omega-0": 3}))) == ["restarts"]
    assert watched.find(seen(101.0 + LOOP_S, restarts={"omega-0": 3})) == []


def test_encoders_that_stay_lost_are_one_incident():
    watched = watch()
    lost = [
        status(0, stream_state=StreamState.ERROR, stream_error="no driver"),
        status(1, stream_state=StreamState.ERROR, stream_error="no driver"),
    ]
    assert watched.find(seen(2.0, workers=lost)) == []
    (incident,) = watched.find(seen(2.0 + ENCODER_LOST_S, workers=lost))
    assert "2 of 2 workers" in incident.message and "no driver" in incident.message


def test_an_incident_begins_once_until_it_has_been_over_for_a_while():
    incidents = Incidents()
    found = watch().find(seen(2.0, full={Path("runs"): 12}))
    (begun,) = incidents.update(found, 2.0, at=1e9)
    assert begun.since == 1e9
    assert incidents.update(found, 3.0, at=1e9 + 1) == []
    assert incidents.update([], 4.0, at=1e9 + 2) == []
    assert incidents.active == (begun,)
    assert incidents.update(found, 5.0, at=1e9 + 3) == [], "it came back at once"
    incidents.update([], 5.0 + OVER_AFTER_S, at=1e9 + 200)
    assert incidents.active == ()
    assert len(incidents.update(found, 6.0 + OVER_AFTER_S, at=1e9 + 201)) == 1
