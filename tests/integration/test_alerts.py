"""A learner that dies, told to a webhook; and what ``deploy/`` measures, in a real fleet."""

import re
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from fastapi import FastAPI, Request, Response

from tests.support import http
from tests.support.fleet import ROOT, FleetUnderTest, run_gameless_fleet
from tests.support.serving import free_port, served
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

DEPLOY = ROOT / "deploy"


class Receiver:
    """A webhook that refuses at first."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.refused = 0
        self.app = FastAPI()
        self.app.post("/hook")(self.take)

    async def take(self, request: Request) -> Response:
        if not self.refused:
            self.refused += 1
            return Response(status_code=503)
        self.received.append(await request.json())
        return Response()


def learner_pid(fleet: FleetUnderTest) -> int | None:
    learner = http.get(f"{fleet.orchestrator}/api/fleet").json()["learner"]
    return None if learner is None else int(learner["pid"])


def kill_learner(fleet: FleetUnderTest) -> None:
    pid = until("the learner answers", lambda: learner_pid(fleet), 120)
    psutil.Process(pid).kill()
    until("another one answers", lambda: learner_pid(fleet) not in (None, pid), 120)


def metric_names(text: str) -> set[str]:
    return set(re.findall(r"^(?:# TYPE )?(metabonk_\w+)", text, re.MULTILINE))


def test_an_incident_is_posted_once_and_what_deploy_measures_exists(tmp_path: Path):
    receiver, port = Receiver(), free_port()
    with served(receiver.app, port):
        environment = {"METABONK_ALERTS_WEBHOOK": f"http://127.0.0.1:{port}/hook"}
        to = f"hls:{tmp_path}/live"
        with run_gameless_fleet(
            tmp_path, "--workers", "1", "--air", to, environment=environment, learner=True
        ) as fleet:
            kill_learner(fleet)
            until("it is told", lambda: receiver.received, 60)
            incidents = http.get(f"{fleet.page}/api/incidents").json()
            assert [incident["kind"] for incident in incidents] == ["learner"]
            metrics = "".join(
                http.get(f"{address}/metrics").text
                for address in (fleet.orchestrator, fleet.learner, fleet.worker(0))
            )
            log = fleet.log("orchestrator")
    assert [incident["kind"] for incident in receiver.received] == ["learner"]
    assert receiver.received[0]["run"] in {each.name for each in (tmp_path / "runs").iterdir()}
    assert "critical: the learner died or hung" in log and "/hook" not in log
    assert measured() <= metric_names(metrics), measured() - metric_names(metrics)


def measured() -> set[str]:
    """Return the metrics in ``deploy/``."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    (group,) = rules["groups"]
    expressions = [rule["expr"] for rule in group["rules"]]
    dashboard = yaml.safe_load((DEPLOY / "grafana" / "metabonk.json").read_text())
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return {name for each in expressions for name in re.findall(r"metabonk_\w+", each)}
