"""Replays over HTTP, from the request to the video, with a stand-in for the renderer."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from metabonk.http.app import make_http_app
from metabonk.orchestrator.replays import cache as replay_cache
from metabonk.orchestrator.replays import queue as replay_queue
from metabonk.orchestrator.replays.cache import ReplayCache
from metabonk.orchestrator.replays.errors import NoReplay
from metabonk.orchestrator.replays.finder import ReplayFinder
from metabonk.orchestrator.replays.renderers import Renderers
from metabonk.orchestrator.replays.response import no_replay
from metabonk.orchestrator.replays.routes import replay_routes
from metabonk.orchestrator.replays.service import FAILURE_SHOWN_S, Replay, Replays, render_command
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import CHECKPOINTS_DIR
from metabonk.runs.render_files import RenderFiles
from tests.support import renderer_stand_in
from tests.support.processes import with_word
from tests.support.renderer_stand_in import MAPS, TRACK, Plan
from tests.support.serving import served
from tests.support.statuses import episode
from tests.support.waiting import until

RUN = "/api/runs/now/episodes"


def stand_in_command(replay: Replay, files: RenderFiles) -> Sequence[str]:
    """Return the command line of ``metabonk render``, run by the stand-in."""
    interpreter, *_, render = render_command(replay, files)[:4]
    assert render == "render"
    return (interpreter, renderer_stand_in.__file__, *render_command(replay, files)[4:])


class Clock:
    """A clock that runs, and that a test can advance.

    Attributes:
        ahead_s: of the monotonic clock, seconds.
    """

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Served:
    """Replays behind a server.

    Attributes:
        client: of the server.
        replays: served.
        cache: theirs.
        clock: theirs.
    """

    def __init__(
        self, client: httpx.Client, replays: Replays, cache: ReplayCache, clock: Clock
    ) -> None:
        self.client = client
        self.replays = replays
        self.cache = cache
        self.clock = clock

    def status(self, episode: int = 0, kind: str = "replay") -> dict[str, object]:
        return self.client.get(f"{RUN}/{episode + 1}/{kind}").raise_for_status().json()

    def state(self, episode: int = 0) -> object:
        return self.status(episode)["state"]

    def video(self, episode: int = 0, **headers: str) -> httpx.Response:
        return self.client.get(f"{RUN}/{episode + 1}/replay.mp4", headers=headers, timeout=60)

    def go(self) -> None:
        """Let every renderer that waits continue."""
        for partial in self.cache._folder.glob("rendering-*/*/video.mp4.partial"):
            partial.with_name("go").touch()

    @contextmanager
    def watching(self, episode: int = 0) -> Iterator[Iterator[bytes]]:
        """Open the video and yield its parts as they arrive."""
        with self.client.stream("GET", f"{RUN}/{episode + 1}/replay.mp4", timeout=60) as response:
            response.raise_for_status()
            yield response.iter_raw()

    def renderers(self) -> list[psutil.Process]:
        return with_word(psutil.Process().children(), renderer_stand_in.__file__)


Serve = Callable[..., Served]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "now"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(tmp_path: Path, run_dir: Path) -> Iterator[Serve]:
    with ThreadPoolExecutor() as threads:
        ended = threading.Event()

        def start(*plans: Plan, at_once: int = 1, min_free_bytes: int = 0) -> Served:
            cache = ReplayCache(tmp_path / ".replays", min_free_bytes=min_free_bytes)
            renderers = Renderers(tmp_path / "renderers.log")
            clock = Clock()
            replays = Replays(cache, renderers, at_once, command=stand_in_command, clock=clock)
            app = make_http_app("test")
            app.add_exception_handler(NoReplay, no_replay)
            store = EpisodeStore(run_dir, "doom:basic", max_log_bytes=1 << 20)
            closers.callback(store.close)
            store.record(episode(1 + index, log=plan.log()) for index, plan in enumerate(plans))
            finder = ReplayFinder(RunCatalog(tmp_path, store))
            app.include_router(replay_routes(finder, replays))
            replays.start()

            def supervise() -> None:
                while not ended.wait(0.01):
                    replays.tick()
                replays.close()

            threads.submit(supervise)
            return Served(closers.enter_context(served(app)), replays, cache, clock)

        with contextlib.ExitStack() as closers:
            yield start
        ended.set()


def test_a_video_is_sent_while_it_is_rendered_and_kept(serve: Serve):
    plan = Plan(waits=True)
    at = serve(plan)
    assert at.status() == {"state": "none", "position": None, "message": None}
    with at.watching() as parts:
        received = next(parts)
        assert at.state() == "rendering"
        assert not at.cache.whole("anything")
        at.go()
        received += b"".join(parts)
    assert received == plan.video
    until("it is whole", lambda: at.state() == "whole")
    assert at.renderers() == []


def test_a_whole_video_is_sent_in_parts_and_has_a_lasting_tag(serve: Serve):
    plan = Plan()
    at = serve(plan)
    at.video()
    until("it is whole", lambda: at.state() == "whole")
    first = at.video()
    assert first.content == plan.video
    assert first.headers["accept-ranges"] == "bytes"
    part = at.video(Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, plan.video[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(plan.video)}"
    assert part.headers["etag"] == first.headers["etag"]
    assert at.video(**{"If-None-Match": first.headers["etag"]}).status_code == 304
    head = at.client.head(f"{RUN}/1/replay.mp4")
    assert head.headers["content-length"] == str(len(plan.video))
    assert head.headers["etag"] == first.headers["etag"]
    other = at.client.head(f"{RUN}/1/replay.mp4?size=640x360")
    assert other.headers["content-type"] == "video/mp4"
    assert "content-length" not in other.headers, "of another size there is none yet"
    assert at.status() == {"state": "whole", "position": None, "message": None}


def test_thoughts_are_sent_before_the_video_is_whole_and_after(serve: Serve):
    at = serve(Plan(waits=True))
    track = f"{RUN}/1/replay.json"
    with at.watching() as parts:
        next(parts)
        assert at.client.get(track).content == TRACK
        at.go()
        list(parts)
    until("it is whole", lambda: at.state() == "whole")
    assert at.client.get(track).content == TRACK


def test_saliency_maps_are_sent_as_they_are_made_and_after(serve: Serve):
    at = serve(Plan(waits=True))
    url = f"{RUN}/1/replay.saliency"
    with at.watching() as parts:
        next(parts)
        with at.client.stream("GET", url, timeout=60) as response:
            maps = response.raise_for_status().iter_raw()
            assert next(maps) == MAPS[0]
            at.go()
            assert b"".join(maps) == MAPS[1]
        list(parts)
    until("it is whole", lambda: at.state() == "whole")
    again = at.client.get(url)
    assert (again.content, again.headers["content-type"]) == (
        b"".join(MAPS),
        "application/x-ndjson",
    )


def test_a_replay_without_saliency_maps_has_an_empty_answer(serve: Serve):
    at = serve(Plan(maps=False))
    url = f"{RUN}/1/replay.saliency"
    first = at.client.get(url, timeout=60)
    until("it is whole", lambda: at.state() == "whole")
    for response in (first, at.client.get(url)):
        assert (response.status_code, response.content) == (200, b"")


def test_saliency_maps_of_a_replay_that_differs_are_cut_off(serve: Serve):
    plan = Plan(outcome="different", waits=True)
    at = serve(plan)
    with at.client.stream("GET", f"{RUN}/1/replay.saliency", timeout=60) as response:
        maps = response.raise_for_status().iter_raw()
        next(maps)
        at.go()
        with pytest.raises(httpx.RemoteProtocolError):
            list(maps)
    assert at.client.get(f"{RUN}/1/replay.saliency").status_code == 409


def test_two_viewers_share_a_rendering_and_others_wait_for_their_turn(serve: Serve):
    at = serve(Plan("a", waits=True), Plan("b"))
    with at.watching() as first, at.watching() as second, ThreadPoolExecutor() as threads:
        begun = next(first), next(second)
        assert len(at.renderers()) == 1
        waiting = threads.submit(at.video, 1)
        until("it waits", lambda: at.status(1)["position"] == 1)
        assert at.state(1) == "queued"
        at.go()
        assert waiting.result().status_code == 200
        assert begun[0] + b"".join(first) == Plan().video
        assert begun[1] + b"".join(second) == Plan().video


def test_a_replay_that_differs_is_never_shown_as_true(serve: Serve):
    plan = Plan(outcome="different", waits=True)
    at = serve(plan)
    with at.watching() as parts:
        next(parts)
        at.go()
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    assert at.status() == {"state": "different", "position": None, "message": plan.message}
    refused = at.video()
    assert refused.status_code == 409
    assert refused.json() == {"error": "replay_differs", "message": plan.message}
    assert list(at.cache._folder.glob("*.mp4")) == []


def test_a_renderer_that_fails_is_a_sentence_and_tried_again_later(serve: Serve):
    at = serve(Plan(chunks=0, outcome="failed", message="no such scenario", code=1))
    refused = at.video()
    assert refused.status_code == 503
    assert refused.json() == {"error": "replay_failed", "message": "no such scenario"}
    assert int(refused.headers["retry-after"]) > 0
    assert at.state() == "failed"
    at.clock.ahead_s += FAILURE_SHOWN_S
    assert at.state() == "none", "it may be tried again"


def test_a_renderer_that_is_killed_in_mid_stream_ends_the_stream_and_nothing_else(serve: Serve):
    at = serve(Plan(waits=True), Plan("other"))
    with at.watching() as parts:
        next(parts)
        (renderer,) = at.renderers()
        renderer.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    assert at.state() == "failed"
    assert "was killed by SIGKILL" in str(at.status()["message"])
    assert at.video(1).status_code == 200


def test_a_renderer_that_hangs_is_killed(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    at = serve(Plan(waits=True))
    with at.watching() as parts:
        next(parts)
        at.renderers()[0].send_signal(signal.SIGSTOP)
        monkeypatch.setattr(replay_queue, "HUNG_AFTER_S", 0.0)
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    message = str(at.status()["message"])
    assert message.startswith("the renderer was stopped because it has written nothing for")
    assert at.renderers() == []


def test_a_rendering_ends_with_its_last_viewer(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replay_queue, "IDLE_S", 0.3)
    at = serve(Plan("a", waits=True), Plan("b"))
    with at.watching() as parts:
        next(parts)
        with pytest.raises(httpx.ReadTimeout):
            at.client.get(f"{RUN}/2/replay.mp4", timeout=httpx.Timeout(60, read=0.1))
        until("nobody waits for the other", lambda: at.state(1) == "none")
        assert at.state(0) == "rendering"
    until("nobody watches", lambda: at.state() == "none")
    until("its renderer is gone", lambda: at.renderers() == [])
    assert list(at.cache._folder.glob("rendering-*/*")) == []


def test_fifty_requests_at_once_are_rendered_refused_or_wait(serve: Serve):
    plans = [Plan(str(number), chunks=1) for number in range(50)]
    at = serve(*plans, at_once=2)
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(at.video, range(50)))
    for plan, answer in zip(plans, answers, strict=True):
        if answer.status_code == 200:
            assert answer.content == plan.video
        else:
            assert answer.status_code == 503
            assert answer.json()["error"] == "too_many_replays"
            assert answer.headers["retry-after"]
    rendered = sum(answer.status_code == 200 for answer in answers)
    assert rendered >= replay_queue.MAX_QUEUED


def test_a_disk_without_room_is_a_sentence(serve: Serve):
    at = serve(Plan(), min_free_bytes=1 << 62)
    refused = at.video()
    assert refused.status_code == 503
    assert "are free on the disk of" in refused.json()["message"]


def test_a_disk_that_fills_up_meanwhile_ends_the_rendering(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
):
    at = serve(Plan(waits=True))
    with at.watching() as parts:
        next(parts)
        monkeypatch.setattr(replay_cache, "free_disk", lambda folder: -1)
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    assert "are free on the disk of" in str(at.status()["message"])
    assert list(at.cache._folder.glob("rendering-*/*")) == []


def test_a_rematch_stays_with_its_policy_although_newer_ones_are_written(
    serve: Serve, run_dir: Path
):
    at = serve(Plan())
    refused = at.client.get(f"{RUN}/1/rematch")
    assert refused.status_code == 409
    assert refused.json()["error"] == "no_checkpoint"
    (run_dir / CHECKPOINTS_DIR).mkdir()
    (run_dir / CHECKPOINTS_DIR / "1.safetensors").touch()
    assert at.client.get(f"{RUN}/1/rematch.mp4").content == Plan().video
    until("it is whole", lambda: at.status(kind="rematch")["state"] == "whole")
    (run_dir / CHECKPOINTS_DIR / "2.safetensors").touch()
    assert at.status(kind="rematch")["state"] == "whole"
    assert at.state() == "none", "the episode itself is another video"


def test_sizes_out_of_bounds_are_refused(serve: Serve):
    at = serve(Plan())
    for size in ("", "640", "641x360", "100x100", "3840x2160", "640x360x2"):
        refused = at.client.get(f"{RUN}/1/replay.mp4", params={"size": size})
        assert refused.status_code == 422, size
        assert "size" in refused.json()["message"]
