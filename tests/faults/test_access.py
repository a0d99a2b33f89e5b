"""No request reads a file that isn't served, pages of other origins have no access, and no source
file runs or unpickles received data.
"""

import ast
import contextlib
import logging
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import torch
from fastapi import FastAPI
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import metabonk
from metabonk.encoding.sessions import open_pools
from metabonk.http.auth import cookie_value
from metabonk.http.weights import WeightsStore
from metabonk.learner.rollouts import RolloutQueue
from metabonk.learner.server import make_app as make_learner_app
from metabonk.learner.stats import LearnerStats
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.page import Page
from metabonk.orchestrator.replays.service import make_replays
from metabonk.orchestrator.servers import make_apps
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings, write_settings
from metabonk.streaming.http import stream_routes
from metabonk.streaming.hub import Hub
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.webrtc import WebRtc
from metabonk.streaming.websocket import websocket_routes
from metabonk.streaming.whep import whep_routes
from metabonk.worker.status import make_app as make_worker_app
from tests.support.serving import served
from tests.support.specs import TINY
from tests.support.stage import POLICY
from tests.support.statuses import status

ROOT = Path(__file__).parents[2]
SOURCES = sorted(Path(metabonk.__file__).parent.rglob("*.py"))
ADAPTERS = Path(metabonk.__file__).parent / "desktop/adapters"
"""Run in games, and there run what definitions say, which name the programs to run as well."""
SECRET = "the-secret-of-somebody-else"
TOKEN = "a-token-that-nobody-guesses"
HOST = "127.0.0.1"


@dataclass
class Site:
    """The applications of a fleet on a small directory tree.

    Attributes:
        folder: has ``runs``, ``logs``, ``page`` and a secret.
        apps: by process.
        clients: by process.
    """

    folder: Path
    apps: dict[str, FastAPI]
    clients: dict[str, httpx.Client]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    settings = Settings.model_validate(
        {
            "ports": {"worker": 19_000},
            "nvenc": {"slot_dir": folder / "slots"},
            "paths": {"runs": folder / "runs", "logs": folder / "logs"},
        }
    )
    run = folder / "runs" / "run-1"
    for made in (run, folder / "logs", folder / "page" / "assets", folder / "slots"):
        made.mkdir(parents=True)
    write_settings(settings, run / "settings.json")
    (folder / "logs" / "omega-0.log").write_text("a line\n")
    for name in ("index.html", "favicon.svg"):
        (folder / "page" / name).write_text("MetaBonk")
    for name in ("secret", "secret.log", "logs/orchestrator.log", "runs/secret"):
        (folder / name).write_text(SECRET)
    (folder / "settings.json").write_text(SECRET)
    (folder / "page" / "assets" / "link.js").symlink_to(folder / "secret")
    (folder / "page" / "link").symlink_to(folder)
    store = EpisodeStore(run, settings.game)
    state = FleetState(settings, store)
    with pytest.MonkeyPatch.context() as patched:
        _, *others = Page.__init__.__defaults__ or ()
        patched.setattr(Page.__init__, "__defaults__", (folder / "page", *others))
        pools, replays = open_pools(settings), make_replays(settings)
        orchestrator, page = make_apps(state, dict, pools, replays, None)
        _, remote = make_apps(state, dict, pools, replays, TOKEN)
    hub = Hub()
    webrtc = WebRtc(hub)
    worker = make_worker_app(
        "omega-0",
        status,
        stream_routes(hub, Snapshot(lambda: None), wait_s=0),
        websocket_routes(hub, POLICY),
        whep_routes(webrtc, lambda: hub.state, "omega-0", wait_s=0),
        lifespan=webrtc.lifespan,
    )
    learner = make_learner_app(
        TINY,
        RolloutQueue(64),
        WeightsStore(),
        LearnerStats(),
        rollout_steps=8,
        device=torch.device("cpu"),
    )
    apps = {"orchestrator": orchestrator, "page": page, "worker": worker, "learner": learner}
    apps["remote"] = remote
    with contextlib.ExitStack() as stack:
        yield Site(
            folder, apps, {name: stack.enter_context(served(app)) for name, app in apps.items()}
        )
    store.close()


def ask(port: int, path: str, headers: str = "") -> bytes:
    """Return the whole response to a path that no client has normalized."""
    with socket.create_connection((HOST, port), 20) as client:
        said = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{headers}\r\n"
        client.sendall(said.encode("latin-1"))
        answer = b""
        while part := client.recv(1 << 16):
            answer += part
        return answer


def ways_to(target: str) -> list[str]:
    """Return paths known from attacks that lead out of a folder."""
    up = ["..", "%2e%2e", ".%2e", "%252e%252e", "..%00", "....", "..%5c..", "%c0%ae%c0%ae"]
    slashes = ["/", "%2f", "%2F", "\\", "%5c", "//", "%252f"]
    climbs = [(step + slash) * depth for step in up for slash in slashes for depth in (1, 2, 3)]
    return [*(climb + target for climb in climbs), f"%2f{target}", f"%00{target}", f"{target}%00"]


@pytest.mark.parametrize("name", ["orchestrator", "page"])
def test_no_path_leads_out_of_the_served_folders(site: Site, name: str):
    absolute = [f"{slash}{site.folder}{slash}secret" for slash in ("/", "%2f", "//")]
    client = site.clients[name]
    port = client.base_url.port or 0
    for way in [
        *ways_to("secret"),
        *ways_to("settings.json"),
        *absolute,
        "link",
        "link/secret",
    ]:
        for path in (
            f"/{way}",
            f"/assets/{way}",
            f"/api/runs/{way}/curve",
            f"/api/runs/{way}/checkpoints",
            f"/api/worker/{way}/log",
            f"/api/worker/omega-0%2f..%2f{way}/log",
        ):
            answer = ask(port, path)
            assert SECRET.encode() not in answer, path
            assert answer[9:10] in b"234", path + answer[:200].decode("latin-1")
    assert SECRET.encode() not in ask(port, "/assets/link.js")
    assert b"a line" in ask(port, "/api/worker/omega-0/log")
    assert ask(port, "/api/runs/run-1/curve")[9:12] == b"200"
    for neighbour in ("orchestrator", "learner", "omega-9", "omega-0.log%00", "."):
        assert ask(port, f"/api/worker/{neighbour}/log")[9:12] in (b"404", b"200")
        assert SECRET.encode() not in ask(port, f"/api/worker/{neighbour}/log")


@pytest.mark.parametrize("name", ["orchestrator", "page", "worker", "learner"])
@pytest.mark.parametrize("long", ["a" * 300, "a" * 5000, "a/" * 3000, "%00", "%ff%fe", "%0d%0a"])
def test_a_strange_name_is_no_server_error(site: Site, name: str, long: str):
    client = site.clients[name]
    for path in (f"/{long}", f"/assets/{long}", f"/api/runs/{long}/curve", f"/whep/{long}"):
        answer = ask(client.base_url.port or 0, path)
        assert answer[9:10] in b"24", path[:50] + answer[:200].decode("latin-1")
        assert b"\r\n\r\n" in answer and answer.count(b"HTTP/1.1") == 1


STRANGE = [
    "",
    "9" * 5000,
    "-1",
    "\xff\xfe",
    "bytes=" + "9" * 5000 + "-",
    "bytes=5-1",
    "bytes=0-0,9-" * 50,
]
STRANGE += ["Thu, 99 Foo 99999 99:99:99 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "[::1", "a=b;" * 500]
STRANGE += ['"' * 100, "multipart/form-data", "application/json; charset=nonsense", "%00%s%n{0}"]
HEADERS = ["Range", "If-Range", "If-None-Match", "If-Modified-Since", "Last-Event-ID", "Accept"]
HEADERS += ["Accept-Encoding", "Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Proto"]
HEADERS += ["Content-Type", "Origin", "Referer", "Upgrade", "Expect", "Sec-WebSocket-Key"]


@pytest.mark.parametrize("name", ["orchestrator", "page", "worker", "learner", "remote"])
def test_a_strange_header_is_no_server_error(site: Site, name: str):
    port = site.clients[name].base_url.port or 0
    own = {"worker": ["/stream.mp4"], "learner": ["/weights"]}
    paths = own.get(name, ["/favicon.svg", "/api/runs/run-1/curve"])
    for path in paths:
        for header in HEADERS:
            for value in STRANGE:
                answer = ask(port, path, f"{header}: {value}\r\n")
                by_design = b"\r\nretry-after: " in answer.lower()
                assert answer[9:10] in b"24" or by_design, (
                    f"{path} {header}: {value[:99]} {answer[:200]!r}"
                )


# Pages of other origins

FOREIGN = ["http://evil.example", "https://127.0.0.1.evil.example", "null", "http://[", "file://"]


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Return every documented method and path, with the name of an existing worker."""
    return [
        (
            method.upper(),
            re.sub(r"\{\w+\}", "omega-0", path).replace("/omega-0/omega-0", "/omega-0/status"),
        )
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    ]


@pytest.mark.parametrize("name", ["orchestrator", "page", "worker", "learner"])
def test_a_page_of_another_origin_can_neither_read_nor_change_anything(site: Site, name: str):
    client = site.clients[name]
    for method, path in [*routes(site.apps[name]), ("GET", "/openapi.json"), ("GET", "/")]:
        for headers in [
            *({"Origin": origin} for origin in FOREIGN),
            {"Host": "evil.example"},
            {"Host": f"127.0.0.1.evil.example:{client.base_url.port}"},
            *(
                {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": kind}
                for kind in ("image", "video", "script", "iframe", "empty")
            ),
        ]:
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 403, f"{method} {path} {headers}"
            assert not [each for each in answer.headers if each.startswith("access-control")]
            preflight = client.options(
                path, headers={**headers, "Access-Control-Request-Method": method}
            )
            assert preflight.status_code == 403


@pytest.mark.parametrize("name", ["page", "worker", "orchestrator", "learner"])
@pytest.mark.parametrize(
    "headers", [*({"Origin": each} for each in FOREIGN), {"Host": "evil.example"}]
)
def test_a_page_of_another_origin_opens_no_socket(site: Site, name: str, headers: dict[str, str]):
    path = "/api/worker/omega-0/stream" if name == "page" else "/stream"
    client = site.clients[name]
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert client.get(path, headers=upgrade | headers).status_code == 403


def test_a_link_from_another_site_opens_the_page(site: Site):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    client = site.clients["page"]
    assert client.get("/", headers=link).status_code == 200


# Secrets


def test_no_log_contains_the_token(site: Site, caplog: pytest.LogCaptureFixture):
    port = site.clients["remote"].base_url.port or 0
    cookie = cookie_value(TOKEN, port)
    by_cookie, by_header = (
        f"Cookie: metabonk-{port}={cookie}\r\n",
        f"Authorization: Bearer {TOKEN}\r\n",
    )
    with caplog.at_level(logging.DEBUG):
        for path in (
            "/",
            "/workers",
            "/nothing",
            "/api/runs/x/curve",
            "/api/worker/omega-0/status",
        ):
            for asked, headers in (
                (f"{path}?token={TOKEN}", ""),
                (f"{path}?token={TOKEN}", "Accept: text/html\r\n"),
                (f"{path}?token={TOKEN}", "Origin: http://evil.example\r\n"),
                (f"{path}?x=%&token={TOKEN}&points=x", ""),
                (f"{path}?token={TOKEN}", "Content-Length: x\r\n"),
                (path, by_cookie),
                (path, by_header),
            ):
                ask(port, asked, headers)
        socket_of = f"ws://{HOST}:{port}/api/worker/omega-0/stream?token={TOKEN}"
        with pytest.raises(InvalidStatus, match="502"), connect(socket_of, proxy=None):
            pass
    # The test's own client logs what it sends.
    ours = [record for record in caplog.records if record.name != "websockets.client"]
    messages = [record.getMessage() + (record.exc_text or "") for record in ours]
    assert any("19000" in line for line in messages), "requests to workers are logged"
    assert not [line for line in messages if TOKEN in line or cookie in line]


# The source

LOGGING = {f"log.{level}" for level in ("debug", "info", "warning", "error", "exception")}


RUNS_CODE = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT / "src")))
def test_no_received_data_is_unpickled_run_or_used_as_a_format(file: Path):
    tree = ast.parse(file.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
    for called, call in calls(tree):
        named = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert file.parent == ADAPTERS or called not in RUNS_CODE
        assert called not in {"torch.load", "torch.save", "np.load", "numpy.load", "pd.read_pickle"}
        assert named.get("shell", "False") == "False", f"{called} in a shell"
        assert named.get("allow_pickle", "False") == "False"
        if re.fullmatch(
            r"(log|logger|logging)\.(debug|info|warning|error|exception|critical)", called
        ):
            assert isinstance(call.args[0], ast.Constant | ast.IfExp), (
                f"{called} formats a variable"
            )
        if called.endswith(".format"):
            owner = call.func.value if isinstance(call.func, ast.Attribute) else None
            assert isinstance(owner, ast.Constant | ast.Name), ast.unparse(call)


def test_every_promise_of_security_md_names_an_existing_test():
    text = (ROOT / "SECURITY.md").read_text()
    tables = re.findall(r"^\|.*\n\| ---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(tables) == 2 and len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert named, f"no test for {row}"
        for file in named:
            assert (ROOT / file).is_file(), file
