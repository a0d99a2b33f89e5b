"""Every command of ``docs/operations.md``, and of the page that it grew from, as a user types it.

They run in a checkout on the default ports, with real fleets on a simulated NVIDIA driver of two
sessions, and their output is compared with what the page promises.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from metabonk.settings.load import unknown_variables
from metabonk.validation import CHECKS
from tests.integration.conftest import LIMIT
from tests.support import http
from tests.support.census import runs as running
from tests.support.census import shared_memory
from tests.support.checkout import ROOT, Outcome, Terminal, live, statuses
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.waiting import GENEROUS_S, until

pytestmark = pytest.mark.timeout(600)

PAGE = ROOT / "docs" / "operations.md"
WORKERS = 5
NVENC = "av:h264_nvenc"
STATUS = "http://localhost:5000/api/worker/omega-0/status"
LOGS = r'tail -f logs/orchestrator.log | grep -i "nvenc\|session\|error"'
JQ_WORKERS = (
    "curl -s http://127.0.0.1:8040/workers | jq 'to_entries[] | {id: .value.instance_id, "
    "stream_url: .value.stream_url, backend: .value.stream_backend, "
    "err: .value.streamer_last_error}'"
)
WATCH_FPS = f"watch -n 1 'curl -s {STATUS} | jq \"{{fps: .frames_fps, dropped: .frames_dropped}}\"'"
JQ_FPS = "jq '{fps: .frames_fps, backend: .stream_backend, error: .stream_error}'"
FIVE = "METABONK_WORKER_SPAWN_STAGGER_S=1.0 ./start --mode train --workers 5"
EIGHT = "./start --mode train --workers 8 --go2rtc --stream-profile rtx5090_webrtc_8"
TWO = "./start --mode train --workers 2"
RESUME = "./start --mode train --workers 2 --resume"
HELP = "python validate_deployment.py"
CLEANUP = "python scripts/cleanup_nvenc_sessions.py --kill"
STOP = "python scripts/stop.py --all --go2rtc"

SEED = (
    "python scripts/nvenc_status.py --workers 5",
    JQ_WORKERS,
    "python docs/stream/validate_deployment.py",
    "curl -I http://127.0.0.1:5000/stream.mp4",
    "curl -I http://127.0.0.1:5001/stream.mp4",
    WATCH_FPS,
    CLEANUP,
    STOP,
    TWO,
    LOGS,
    "nvidia-smi",
    f"curl {STATUS} | {JQ_FPS}",
    FIVE,
    EIGHT,
    "python scripts/nvenc_status.py",
    HELP,
)
"""Commands of the first page, in its order."""

SEED_ADDRESSES = (
    "http://localhost:5173/stream?worker=omega-0",
    "http://localhost:5173/stream?worker=omega-1",
    "http://localhost:5173/neural/broadcast",
)


def nvenc_status(workers: int) -> Callable[[Outcome], None]:
    def holds(outcome: Outcome) -> None:
        first, second, *_ = outcome.text.splitlines()
        assert re.fullmatch(r"NVML: gpu_index=0 name=.+ nvenc_used=2", first)
        assert second.startswith("Active Sessions: 2 (nvenc-gpu0 2 of 2")
        found = re.findall(
            r"^- worker=(\d) port=500(\d) instance_id=omega-(\d) backend=(\S*) active=(\w+) "
            r"nvenc_used=2",
            outcome.text,
            re.MULTILINE,
        )
        assert [line[:3] for line in found] == [(str(i),) * 3 for i in range(workers)]
        shown = live()
        assert [line[3:] for line in found] == [
            (NVENC, "true") if f"omega-{index}" in shown else ("", "false")
            for index in range(workers)
        ]

    return holds


def every_worker_with_its_backend(outcome: Outcome) -> None:
    found = objects(outcome.text)
    assert [each["id"] for each in found] == [f"omega-{i}" for i in range(WORKERS)]
    assert all(each["stream_url"].endswith("/stream.mp4") for each in found)
    assert sorted(each["backend"] for each in found) == ["", "", "", NVENC, NVENC]
    assert all(each["err"] is None for each in found)


def objects(text: str) -> list[dict[str, object]]:
    """Return the JSON objects that follow each other in ``text``, after any other text."""
    decoder, found, at = json.JSONDecoder(), [], text.find("{")
    while at >= 0:
        value, end = decoder.raw_decode(text, at)
        found.append(value)
        at = text.find("{", end)
    return found


def five_checks_pass(outcome: Outcome) -> None:
    lines = [line for line in outcome.text.splitlines() if line.startswith(("PASS", "FAIL"))]
    assert [line.split(". ")[1] for line in lines] == list(CHECKS)
    assert "5 of 5 checks passed" in outcome.text, outcome.text


def five_checks_as_json(outcome: Outcome) -> None:
    answer = json.loads(outcome.text)
    assert [check["name"] for check in answer["checks"]] == list(CHECKS)
    assert answer["passed"], outcome.text


def has(*words: str) -> Callable[[Outcome], None]:
    def holds(outcome: Outcome) -> None:
        for each in words:
            assert each in outcome.text

    return holds


def answers_200(outcome: Outcome) -> None:
    assert "HTTP/1.1 200 OK" in outcome.text
    assert "video/mp4" in outcome.text


def answers_for(index: int) -> Callable[[Outcome], None]:
    """Expect what fits the worker's current state; who gets a session depends on timing."""

    def holds(outcome: Outcome) -> None:
        (answers_200 if f"omega-{index}" in live() else answers_503)(outcome)

    return holds


def answers_503(outcome: Outcome) -> None:
    assert "HTTP/1.1 503 Service Unavailable" in outcome.text
    assert "retry-after:" in outcome.text.lower()


def fields(*names: str, **exactly: object) -> Callable[[Outcome], None]:
    def holds(outcome: Outcome) -> None:
        (found,) = objects(outcome.text)
        assert tuple(found) == (*names, *exactly) or set(found) == {*names, *exactly}
        assert {name: found[name] for name in exactly} == exactly

    return holds


def sessions_in_the_log(outcome: Outcome) -> None:
    has("Acquired NVENC session", "Session limit reached")(outcome)
    assert "OpenEncodeSessionEx failed" not in outcome.text


ASKED: dict[str, Callable[[Outcome], None]] = {
    "python scripts/nvenc_status.py --workers 5": nvenc_status(WORKERS),
    "python scripts/nvenc_status.py": nvenc_status(2),
    JQ_WORKERS: every_worker_with_its_backend,
    "curl -I http://127.0.0.1:5000/stream.mp4": answers_for(0),
    "curl -I http://127.0.0.1:5001/stream.mp4": answers_for(1),
    f"curl {STATUS} | {JQ_FPS}": fields("fps", backend=NVENC, error=None),
    f"curl -s {STATUS} | {JQ_FPS}": fields("fps", backend=NVENC, error=None),
    "curl -s http://127.0.0.1:5000/api/worker/omega-0/status | jq '{state: .stream_state, "
    "why: .stream_error, last_failure: .streamer_last_error}'": fields(
        state="live", why=None, last_failure=None
    ),
    "curl -s http://127.0.0.1:8061/status | jq '{policy_version, steps_per_s, steps_dropped, "
    "policy_lag}'": fields("policy_version", "steps_per_s", "steps_dropped", "policy_lag"),
    r"curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:5173/": has("200\n"),
    r'grep -i "nvenc\|session\|error\|ended\|killed" logs/orchestrator.log': sessions_in_the_log,
    "tail -n 20 logs/omega-0.log": has("omega-0"),
    "tail -n 200 logs/orchestrator.log logs/omega-0.log": has("Acquired NVENC session slot="),
    "df -h . /dev/shm": has("%", "/dev/shm"),
    "du -sh runs logs": has("runs", "logs"),
    ".venv/bin/metabonk runs": has("in use"),
    ".venv/bin/metabonk runs prune --keep 5": has("nothing to delete"),
    ".venv/bin/metabonk doctor": has(
        "GPU 0: ", f"✓ encoder {NVENC} on GPU 0: has worked here", "this machine can run a fleet"
    ),
    "python docs/stream/validate_deployment.py": five_checks_pass,
    "python docs/stream/validate_deployment.py --json": five_checks_as_json,
}
"""Commands that only ask → check of their output, with five workers of which two are live."""

ENDLESS = {
    WATCH_FPS: ('"fps": ', '"dropped": '),
    LOGS: ("Acquired NVENC session", "Session limit reached"),
}
"""Endless commands → words that they have to show."""

STORY = (HELP, FIVE, CLEANUP, STOP, TWO, EIGHT, RESUME)
"""Commands that change something; each has its own test, EIGHT in ``test_overload``."""

COMPOSE = "docker compose -f deploy/compose.yaml"
NOT_RUN = {
    "nvidia-smi": "the driver's own program, which the simulated driver has not",
    "git pull": "a copy of the checkout has nowhere to pull from",
    f"{COMPOSE} up --build": "needs a container engine; see tests/test_deploy.py",
    f"{COMPOSE} -f deploy/compose.nvidia.yaml up --build": "the same",
    f"{COMPOSE} exec metabonk python scripts/nvenc_status.py --workers 2": "the same",
    "sudo useradd --system --create-home metabonk": "changes the system",
    "sudo chown -R metabonk: /opt/metabonk": "changes the system",
    "sudo cp deploy/metabonk.service /etc/systemd/system/": "changes the system",
    "sudo systemctl daemon-reload": "changes the system",
    "sudo systemctl enable --now metabonk": "changes the system",
    "systemctl status metabonk": "needs the unit to be installed",
    "METABONK_ALERTS_WEBHOOK=https://hooks.slack.com/services/… ./start --mode train --workers 4": (
        "posts to a webhook of Slack"
    ),
    "journalctl -u metabonk -f": "needs the unit to be installed",
    "sudo -u metabonk METABONK_PATHS_RUNTIME=/run/metabonk python3 "
    "/opt/metabonk/scripts/nvenc_status.py": "needs the unit to be installed",
}
"""Commands that no test can run → reason."""


def commands_of(text: str) -> list[str]:
    """Return the lines of the ``bash`` blocks, without comments."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_every_command_of_both_pages_is_run_or_has_a_reason_not_to_be():
    known = {*ASKED, *ENDLESS, *STORY, *NOT_RUN}
    ours = commands_of(PAGE.read_text())
    assert [command for command in (*SEED, *ours) if command not in known] == []
    assert known == {*SEED, *ours}, "every tested command is documented"


@pytest.mark.parametrize("command", NOT_RUN)
def test_commands_that_are_not_run_name_existing_files(command: str):
    for word in command.replace("/opt/metabonk/", "").split():
        if word.startswith(("deploy/", "scripts/")):
            assert (ROOT / word).is_file()


def test_the_page_names_existing_files_and_settings():
    text = PAGE.read_text()
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (PAGE.parent / link).exists(), link
    named = {name: "" for name in re.findall(r"METABONK_[A-Z_]*[A-Z]", text)}
    assert list(unknown_variables(named)) == []


def heads(workers: int) -> list[int]:
    addresses = [f"http://127.0.0.1:{5000 + index}/stream.mp4" for index in range(workers)]
    return [http.head(address).status_code for address in addresses]


def test_start_help_exits(terminal: Terminal):
    outcome = terminal.run("./start --help")
    assert outcome.code == 0
    assert "--stream-profile" in outcome.text


@pytest.mark.parametrize("folder", [".", "docs/stream"])
def test_validation_without_a_fleet_tells_how_to_start_one(terminal: Terminal, folder: str):
    outcome = terminal.run(f"cd {folder} && {HELP}")
    assert outcome.code == 1
    assert outcome.text.count("FAIL  ") == len(CHECKS)
    assert TWO in outcome.text


def policy_version() -> int:
    answer = http.get("http://127.0.0.1:8061/status").raise_for_status()
    return int(answer.json()["policy_version"])


@pytest.fixture(scope="module")
def five(terminal: Terminal) -> Iterator[Terminal]:
    """Five playing workers, two live and three in standby, and a learner that learns.

    They run until the test of the stop command.
    """
    output = terminal.begin(FIVE)
    until("two are live", lambda: len(live()) == LIMIT, 120)
    until("all are known", lambda: len(statuses()) == WORKERS, 120)
    until("all play", lambda: all(status.step > 0 for status in statuses().values()), 120)
    until("it learns", lambda: policy_version() >= 1, 180)
    assert "page: http://localhost:5173" in output.read_text()
    yield terminal


def test_two_of_five_stream_and_three_train_without_a_session(five: Terminal):
    assert sorted(heads(WORKERS)) == [200, 200, 503, 503, 503]
    for index in range(WORKERS):
        outcome = five.run(f"curl -I http://127.0.0.1:{5000 + index}/stream.mp4")
        answers_for(index)(outcome)
    before = {name: status.step for name, status in statuses().items()}
    until("all train", lambda: all(statuses()[name].step > n for name, n in before.items()), 30)


def test_starts_are_staggered_as_requested(five: Terminal):
    log = (five.folder / "logs" / "orchestrator.log").read_text()
    found = re.findall(r"^\S+ (\S+),(\d+) .* omega-\d started", log, re.MULTILINE)
    moments = [
        sum(int(part) * unit for part, unit in zip(clock.split(":"), (3600, 60, 1), strict=True))
        + int(thousandths) / 1000
        for clock, thousandths in found
    ]
    assert len(moments) == WORKERS
    # Not one by one: any of the lines may be late.
    took = (moments[-1] - moments[0]) % 86_400
    assert took > 0.5 * (WORKERS - 1), "a second each; unasked for it is 0.2 s"


@pytest.mark.parametrize("command", ASKED)
def test_a_command_prints_what_the_page_promises(five: Terminal, command: str):
    holds = ASKED[command]
    outcome = five.run(command)
    if holds in (five_checks_pass, five_checks_as_json):
        # A busy machine may not keep up at first; a broken fleet fails every time.
        deadline = time.monotonic() + 120
        while outcome.code and time.monotonic() < deadline:
            outcome = five.run(command)
    assert outcome.code == 0, outcome.text
    holds(outcome)


@pytest.mark.parametrize("command", ENDLESS)
def test_an_endless_command_shows_what_the_page_promises(five: Terminal, command: str):
    words = ENDLESS[command]
    shown = five.watch(command, lambda text: all(each in text for each in words))
    has(*words)(shown)
    assert "OpenEncodeSessionEx failed" not in shown.text


@pytest.mark.parametrize("address", SEED_ADDRESSES)
def test_the_addresses_show_the_page(five: Terminal, address: str):
    answer = http.get(address)
    assert answer.status_code == 200
    assert "<title>MetaBonk</title>" in answer.text


def test_cleanup_leaves_a_running_fleet_alone(five: Terminal):
    before = {name: status.pid for name, status in statuses().items()}
    outcome = five.run(CLEANUP)
    assert outcome.code == 0
    assert not re.search("(ended|killed).*omega-", outcome.text)
    until("nothing is left over", lambda: "nothing was left over" in five.run(CLEANUP).text, 30)
    assert {name: status.pid for name, status in statuses().items()} == before


def test_stop_reports_what_it_stopped_and_leaves_nothing(five: Terminal, driver: SimulatedDriver):
    root = psutil.Process(five.running[0].pid)
    family = [root, *root.children(recursive=True)]
    games = shared_memory(family)
    assert len(games) >= WORKERS
    outcome = five.run(STOP)
    assert outcome.code == 0
    assert outcome.text.startswith("stopped the fleet (pid ")
    five.running[0].wait(GENEROUS_S)
    until("every process has ended", lambda: not any(map(running, family)))
    assert [file for file in games if file.exists()] == []
    until("no session is left open", lambda: driver.open_now() == 0)
    assert driver.most_open() == LIMIT
    assert driver.events("refused") == []
    logs = "".join(file.read_text() for file in (five.folder / "logs").iterdir())
    assert "OpenEncodeSessionEx failed" not in logs
    assert "Traceback" not in logs


def test_two_workers_are_both_live(terminal: Terminal):
    terminal.begin(TWO)
    until("both are live", lambda: live() == ["omega-0", "omega-1"], 120)
    assert heads(2) == [200, 200]
    nvenc_status(2)(terminal.run("python scripts/nvenc_status.py"))
    assert terminal.run(STOP).code == 0


def test_the_run_resumes_after_an_upgrade(terminal: Terminal):
    runs = {file.name for file in (terminal.folder / "runs").iterdir()}
    terminal.begin(RESUME)
    address = "http://127.0.0.1:5173/api/fleet"
    fleet = until("the page answers", lambda: http.get(address).raise_for_status(), 120)
    assert fleet.json()["run"] in runs
    assert terminal.run(STOP).code == 0
    assert {file.name for file in (terminal.folder / "runs").iterdir()} == runs
    assert Path(terminal.folder / "validate_deployment.py").is_symlink()
