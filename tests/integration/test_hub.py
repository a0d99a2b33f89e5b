"""Trainings of anybody's, live by one line: the hub starts by itself and leaves nothing behind."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from metabonk.broadcast.hub import LOOK_S
from metabonk.messages.streams import StillsRequest
from metabonk.messages.workers import GuestStatus, StreamState, WorkerKind
from tests.support import http
from tests.support.fleet import GAMELESS_STAGGER_S, run_gameless_fleet
from tests.support.hub import IDLE_S, Place, interrupt, place
from tests.support.machine_speed import SLOWNESS
from tests.support.processes import with_word
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

PROMISE_S = 10.0
NAME = "CartPole-v1-0"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as here:
        yield here


def first_line(training: "subprocess.Popen[str]") -> str:
    assert training.stderr is not None
    return training.stderr.readline()


def is_live(here: Place, name: str = NAME) -> bool:
    guest = here.guests().get(name)
    return guest is not None and guest.stream_state is StreamState.LIVE


def has_frames(here: Place, count: int) -> bool:
    guest = here.guests().get(NAME)
    return guest is not None and guest.frames_ok > count


def test_a_training_is_live_on_a_page_that_starts_and_ends_by_itself(here: Place):
    training = here.train()
    page = here.page.replace("127.0.0.1", "localhost")
    assert first_line(training) == f"metabonk: watch at {page}\n"
    assert http.get(here.page).status_code == 200
    until("it is live", lambda: is_live(here), 30)
    before = here.guests()[NAME]
    assert before.guest is not None
    assert (before.kind, before.guest.trainer_pid) == (WorkerKind.GUEST, training.pid)
    until("frames advance", lambda: here.guests()[NAME].frames_ok > before.frames_ok + 15)
    with http.stream("GET", f"{here.page}/api/worker/{NAME}/stream.mp4") as video:
        assert video.status_code == 200
        assert next(video.iter_bytes(1))
    snapshot = http.get(f"{here.page}/api/worker/{NAME}/snapshot.jpg")
    assert snapshot.headers["Content-Type"] == "image/jpeg"
    fleet = here.fleet()
    assert (fleet.run, fleet.learner, fleet.problems) == (None, None, [])
    training.kill()
    until("the guest is gone", lambda: not here.guests(), PROMISE_S)
    until("the hub has ended", lambda: not here.processes(), IDLE_S + PROMISE_S)
    assert here.files() == []
    assert sorted(path.name for path in here.folder.iterdir()) == ["home", "train.py"]


def test_a_killed_hub_leaves_nothing_and_a_living_training_starts_another(here: Place):
    training = here.train()
    until("it is live", lambda: is_live(here), 30)
    first = here.holder()
    assert first is not None
    children = here.processes()
    hub = next(each for each in children if each.pid == first.process.pid)
    hub.kill()
    until(
        "all of it is gone",
        lambda: not {each.pid for each in here.processes()} & {each.pid for each in children},
        PROMISE_S,
    )
    until("another one shows it", lambda: is_live(here), LOOK_S + 30)
    second = here.holder()
    assert second is not None
    assert second.process != first.process
    assert training.poll() is None


def test_a_fleet_takes_the_place_of_a_hub_and_shows_its_guests(here: Place):
    training = here.train()
    until("it is live", lambda: is_live(here), 30)
    environment = {**here.environment, "METABONK_WORKER_SPAWN_STAGGER_S": str(GAMELESS_STAGGER_S)}
    with run_gameless_fleet(here.folder, "--workers", "1", environment=environment) as fleet:

        def both() -> bool:
            return set(here.fleet().workers) == {"omega-0", NAME}

        until("the fleet shows both", both, 30)
        until("it is live", lambda: is_live(here), 30)
        assert "ended the hub" in fleet.output.read_text()
        assert here.guests()[NAME].worker_index == 1
        assert here.fleet().run is not None
        holder = here.holder()
        assert holder is not None
        assert (holder.kind, holder.process.pid) == ("fleet", fleet.process.pid)
        training.kill()
        until("the guest is gone", lambda: set(here.fleet().workers) == {"omega-0"}, PROMISE_S)
        fleet.stop()
    until("all have ended", lambda: not here.processes(), PROMISE_S)


def test_watch_shows_what_is_there_and_what_comes_until_it_is_interrupted(here: Place):
    watch = here.command("watch")
    until("it serves", here.holder, 30)
    assert here.guests() == {}
    other = here.command("watch")
    refused, _ = other.communicate(timeout=30 * SLOWNESS)
    assert other.returncode == 1
    assert "'metabonk watch' shows what is broadcast already at http://localhost" in refused
    training = here.train()
    until("it is live for seconds", lambda: has_frames(here, 90), 30)
    output = interrupt(watch)
    assert watch.returncode == 0
    assert f"{NAME}: live" in output
    assert output.endswith("stopped\n")
    assert here.holder() is None
    assert training.poll() is None


def test_stop_ends_a_hub_as_well(here: Place):
    training = here.train()
    until("it is live", lambda: is_live(here), 30)
    training.kill()
    output, _ = here.command("stop").communicate(timeout=30 * SLOWNESS)
    assert output.startswith("stopped 'metabonk hub' (pid ")
    until("all have ended", lambda: not here.processes())
    assert here.files() == []


def test_trainings_in_several_processes_share_one_hub_and_the_page_shows_all_of_them(here: Place):
    trainings = [here.train() for _ in range(4)]
    until("all are shown", lambda: len(here.guests()) == 4, 40)
    assert len(with_word(here.processes(), "hub")) == 1
    until("two are live", lambda: len(others(here)) == 2, 40)
    assert all(guest.drawn is None for guest in others(here).values()), "nobody looks at them"
    seen: dict[str, set[str]] = {name: set() for name in others(here)}
    with contextlib.ExitStack() as page:
        tiles = {name: page.enter_context(open_tile(here, name)) for name in seen}
        deadline = time.monotonic() + 40
        # One of them may get its turn meanwhile.
        while max(map(len, seen.values())) < 4 and time.monotonic() < deadline:
            for name, tile in tiles.items():
                with contextlib.suppress(TimeoutError):
                    if isinstance(message := tile.recv(0.2), str) and '"still"' in message:
                        seen[name].add(message)
    assert max(map(len, seen.values())) >= 4, "as many different stills, one a second"
    for training in trainings:
        assert training.poll() is None


def others(here: Place) -> dict[str, GuestStatus]:
    """Return the guests that are not live."""
    return {
        name: status.guest
        for name, status in here.guests().items()
        if status.stream_state is not StreamState.LIVE and status.guest is not None
    }


@contextlib.contextmanager
def open_tile(here: Place, name: str) -> Iterator[ClientConnection]:
    """Show a guest as a tile of a page does."""
    address = f"{here.page.replace('http', 'ws')}/api/worker/{name}/stream?audience=broadcast"
    with connect(address, proxy=None) as tile:
        tile.send(StillsRequest(max_width=320).model_dump_json())
        yield tile
