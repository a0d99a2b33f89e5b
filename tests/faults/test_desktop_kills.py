"""Workers, programs and displays of desktop games may be killed: the fleet is whole again.

``python -m pytest tests/faults/test_desktop_kills.py --long -s`` kills twenty.
"""

import random
import time
from pathlib import Path

import psutil
import pytest

from metabonk.desktop.clock import shared_files
from metabonk.messages.workers import StreamState
from tests.support.census import members, runs
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.processes import kill, named
from tests.support.requirements import require_desktop
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(1200)

GAME, PROGRAMS = "desktop:lbreakout2", ("lbreakout2", "Xvfb")
VICTIMS = ("worker", *PROGRAMS)
WORKERS = 2
ENVIRONMENT = {
    "METABONK_STREAM_WIDTH": "320",
    "METABONK_STREAM_HEIGHT": "240",
    "METABONK_STREAM_FPS": "15",
    "METABONK_CPU_MAX_SESSIONS": str(WORKERS),
    "METABONK_STREAM_ENGINE": "av",
    "METABONK_WORKER_GAMES_PER_WORKER": "1",
}


def programs_of(worker: psutil.Process) -> dict[str, psutil.Process]:
    """Return the program and the display of a worker's game; fewer while they start."""
    try:
        children = [each for each in worker.children() if runs(each)]
        return {each.name(): each for each in children if each.name() in PROGRAMS}
    except psutil.NoSuchProcess:
        return {}


def is_whole(fleet: FleetUnderTest) -> bool:
    """Tell whether every worker plays a game of its own, and streams it."""
    found = members(fleet)
    workers = [found[f"omega-{index}"] for index in range(WORKERS)]
    return (
        all(len(each) == 1 and len(programs_of(each[0])) == len(PROGRAMS) for each in workers)
        and len(fleet.in_state(StreamState.LIVE)) == WORKERS
    )


def test_whatever_of_a_desktop_game_is_killed_the_fleet_is_whole_again(tmp_path: Path, long: bool):
    require_desktop("lbreakout2", apt="lbreakout2 libfaketime")
    chance = random.Random(1)
    plan = [*VICTIMS, *chance.choices(VICTIMS, k=17 if long else 0)]
    arguments = ("--workers", str(WORKERS), "--game", GAME)
    folder = tmp_path / "games"
    folder.mkdir(mode=0o700)
    environment = ENVIRONMENT | {"XDG_RUNTIME_DIR": str(folder)}
    with run_fleet(tmp_path, *arguments, environment=environment) as fleet:
        until("the fleet is whole", lambda: is_whole(fleet), 120)
        programs = set[int]()
        for kind in plan:
            worker = members(fleet)[f"omega-{chance.randrange(WORKERS)}"][0]
            family = {"worker": worker, **programs_of(worker)}
            programs.add(family["lbreakout2"].pid)
            before = {name: status.step for name, status in fleet.statuses().items()}
            began = time.monotonic()
            kill([family[kind]])
            ended = list(family.values()) if kind == "worker" else [family[kind]]
            until("it has ended", lambda ended=ended: not any(map(runs, ended)))
            until("the fleet is whole again", lambda: is_whole(fleet), 120)
            print(f"{kind}: whole again after {time.monotonic() - began:.1f} s")
            until(
                "all play",
                lambda before=before: all(
                    status.step > 0 and status.step != before[name]
                    for name, status in fleet.statuses().items()
                ),
                60,
            )
        tree = fleet.tree()
        programs |= {each.pid for each in named(tree, "lbreakout2")}
        fleet.stop()
    assert not any(map(runs, tree))
    assert not any(shared_files(pid) for pid in programs)
    assert not list(folder.glob("metabonk/desktop/*"))
