import json

from metabonk.messages.alerts import Incident, IncidentKind, Severity
from metabonk.orchestrator.alerts.webhook import post_of
from metabonk.settings import Settings

INCIDENT = Incident(
    kind=IncidentKind.DISK,
    subject="runs",
    severity=Severity.CRITICAL,
    message="12 MB are free",
    action="free some",
    since=1e9,
)


def test_each_service_gets_the_form_that_it_takes():
    slack = post_of("https://hooks.slack.com/services/T/B/x", INCIDENT, "run-1")
    assert json.loads(slack.content) == {"text": "🔴 MetaBonk: 12 MB are free. free some (run-1)"}
    discord = json.loads(post_of("https://discord.com/api/webhooks/1/x", INCIDENT, "run-1").content)
    assert discord["content"].endswith("free some (run-1)")
    assert discord["allowed_mentions"] == {"parse": []}
    for host in ("https://ntfy.sh/topic", "http://ntfy.example.org/topic"):
        ntfy = post_of(host, INCIDENT, "run-1")
        assert ntfy.content.decode() == "12 MB are free. free some (run-1)"
        assert ntfy.headers["Priority"] == "urgent"


def test_any_other_program_gets_the_incident_as_json():
    post = post_of("http://127.0.0.1:9/hook", INCIDENT, "run-1")
    content = json.loads(post.content)
    assert content.pop("run") == "run-1"
    assert Incident.model_validate(content) == INCIDENT
    assert post.headers["Content-Type"] == "application/json"


def test_the_address_of_a_webhook_is_written_nowhere():
    settings = Settings.model_validate({"alerts": {"webhook": "https://hooks.slack.com/secret"}})
    assert "secret" not in settings.model_dump_json() + repr(settings)
