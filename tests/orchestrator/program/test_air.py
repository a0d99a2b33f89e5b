"""The switch of what goes on air; ``tests/integration/test_air.py`` has its process."""

from typing import Any

import pytest

from metabonk.errors import SettingsError
from metabonk.http.app import make_http_app
from metabonk.messages.air import AirReport, AirState
from metabonk.orchestrator.fleet.on_air import OnAir
from metabonk.orchestrator.program.air import air_routes, report_routes
from tests.support.serving import served

TO = "rtmp://host/app"


def report(**changed: Any) -> AirReport:
    values = {"pid": 7, "turns": 1, "state": AirState.ON_AIR, "connections": 1, "frames": 1}
    return AirReport.model_validate({**values, **changed})


def test_it_goes_on_air_from_the_start_where_something_is_configured():
    assert OnAir(TO).is_wanted
    assert not OnAir(None).is_wanted
    with pytest.raises(SettingsError, match="--air"):
        OnAir(None).switch(on=True)


def test_a_process_hangs_from_its_last_turn_on_whether_it_reports_or_not():
    on_air = OnAir(TO)
    assert on_air.hangs_for(7, 100.0) == 0.0, "it has not said anything yet"
    on_air.take(report(turns=5), 100.0)
    on_air.take(report(turns=5), 108.0)
    assert on_air.hangs_for(7, 109.0) == 9.0
    assert on_air.hangs_for(8, 109.0) == 0.0, "its successor has not said anything yet"
    on_air.take(report(turns=6), 110.0)
    assert on_air.hangs_for(7, 111.0) == 1.0


def test_the_page_switches_it_and_reports_are_shown():
    on_air = OnAir(TO)
    app = make_http_app("page")
    for router in (air_routes(on_air), report_routes(on_air)):
        app.include_router(router)
    with served(app) as client:
        body = report().model_dump(mode="json")
        client.post("/api/air/report", json=body).raise_for_status()
        status = client.get("/api/air").json()
        assert (status["to"], status["report"]["state"]) == (TO, "on_air")
        assert client.put("/api/air", json={"on": False}).json()["wanted"] is False
        assert client.put("/api/air", json={"on": 1}).status_code == 422
        assert not on_air.is_wanted


def test_nothing_that_is_not_configured_goes_on_air():
    app = make_http_app("page")
    app.include_router(air_routes(OnAir(None)))
    with served(app) as client:
        answer = client.put("/api/air", json={"on": True})
    assert answer.status_code == 409
    assert "air.to" in answer.json()["message"]
