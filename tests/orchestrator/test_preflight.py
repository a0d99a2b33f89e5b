import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from metabonk.doctor.host import MIN_FREE_DISK
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import FailedGpu, Gpu, GpuInventory, Nvml
from metabonk.errors import GameStartError, SettingsError, StartError
from metabonk.messages.workers import Mode
from metabonk.orchestrator import preflight
from metabonk.orchestrator.preflight import check, check_hub, localhost_conflict
from metabonk.settings import Settings, commands
from metabonk.settings.air import Air
from metabonk.settings.schema import Nvenc
from tests.support.desktop import small_game
from tests.support.serving import free_port, free_ports


@pytest.fixture
def taken() -> Iterator[int]:
    port = free_ports(2)[1]  # The one before it is free as well.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield port


def settings(folder: Path, mode: str = "train", **ports: int) -> Settings:
    names = ("orchestrator", "page", "learner", "worker")
    free = dict(zip(names, free_ports(4), strict=True))
    paths = {"runs": folder / "runs", "logs": folder / "logs"}
    return Settings.model_validate({"mode": mode, "ports": {**free, **ports}, "paths": paths})


@pytest.mark.parametrize("owner", ["orchestrator", "page", "learner", "worker"])
def test_a_port_in_use_is_named_with_its_owner_and_its_setting(
    tmp_path: Path, taken: int, owner: str
):
    with pytest.raises(StartError) as caught:
        check(settings(tmp_path, **{owner: taken}))
    sentence = str(caught.value)
    assert f"port {taken}" in sentence
    assert f"METABONK_PORTS_{owner.upper()}" in sentence


def test_the_ports_of_all_workers_are_checked(tmp_path: Path, taken: int):
    with pytest.raises(StartError, match=f"port {taken}, which omega-1 needs"):
        check(settings(tmp_path, worker=taken - 1))


def test_playing_needs_no_port_for_a_learner(tmp_path: Path, taken: int):
    check(settings(tmp_path, mode="play", learner=taken))


def test_two_owners_of_one_port_are_named(tmp_path: Path):
    worker, page, orchestrator, learner = free_ports(4)
    ports = {"orchestrator": orchestrator, "page": page, "learner": learner, "worker": worker}
    with pytest.raises(StartError, match="the page and omega-1 would both listen"):
        check(settings(tmp_path, **ports))


def test_an_unusable_slot_folder_stops_the_start(tmp_path: Path):
    others = tmp_path / "slots"
    others.mkdir(mode=0o700)
    given = settings(tmp_path).model_copy(update={"nvenc": Nvenc(slot_dir=others)})
    check(given)
    others.chmod(0o777)
    with pytest.raises(StartError, match="METABONK_NVENC_SLOT_DIR"):
        check(given)


def test_a_selected_gpu_that_is_not_available_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cards = tuple(Gpu(index, f"GPU-{index}", "NVIDIA", 5, "590.44") for index in (0, 1))
    given = settings(tmp_path)

    def choose(inventory: GpuInventory, *gpus: int) -> None:
        found = Pools(
            tmp_path / "slots", nvenc_limit=0, cpu_limit=1, nvml=Nvml(), usable=lambda _: inventory
        )
        monkeypatch.setattr(preflight, "open_pools", lambda settings: found)
        check(given.model_copy(update={"gpus": gpus}))

    choose(GpuInventory(cards), 0, 1)
    with pytest.raises(
        StartError, match=r"METABONK_GPUS is 0,2, but GPU 2 is not available: .* has 0, 1"
    ):
        choose(GpuInventory(cards), 0, 2)
    with pytest.raises(StartError, match="CUDA_VISIBLE_DEVICES hides 1"):
        choose(GpuInventory(cards[:1], others=cards[1:]), 0, 1)
    with pytest.raises(StartError, match="GPU 2 is not available: GPU is lost"):
        choose(GpuInventory(cards, failed=(FailedGpu(2, "GPU is lost"),)), 2)
    with pytest.raises(StartError, match="GPU 0 is not available: no NVIDIA driver here"):
        choose(GpuInventory(unavailable="no NVIDIA driver here"), 0)


def test_a_full_disk_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = settings(tmp_path)
    check(given)
    full = SimpleNamespace(free=MIN_FREE_DISK - (1 << 20))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    with pytest.raises(StartError, match=r"only 499 MB are free .* at least 500 MB"):
        check(given)


@pytest.mark.parametrize(
    ("host", "other", "warns"),
    [
        ("127.0.0.1", "::1", True),
        ("localhost", "::1", True),
        ("::1", "127.0.0.1", True),
        ("127.0.0.2", "::1", False),
    ],
)
def test_another_program_under_the_name_localhost_is_reported(host: str, other: str, warns: bool):
    family = socket.AF_INET6 if ":" in other else socket.AF_INET
    with socket.socket(family) as listener:
        port = free_port()
        listener.bind((other, port))
        listener.listen()
        given = Settings.model_validate({"host": host, "ports": {"page": port}})
        warning = localhost_conflict(given) or ""
    own = "[::1]" if host == "::1" else "127.0.0.1"
    assert (f"open http://{own}:{port}" in warning) == warns
    assert localhost_conflict(given) is None, "nobody else listens any more"


def test_a_tracker_without_its_package_is_named_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tracked = {"tracking": {"wandb_project": "doom"}}
    usable = Settings.model_validate({**settings(tmp_path).model_dump(), **tracked})
    check(usable)
    (tmp_path / "wandb_missing").mkdir()  # As the folder in which W&B keeps its runs.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    for missing in ("wandb_missing", "nowhere"):
        monkeypatch.setitem(preflight.TRACKERS, "wandb_project", missing)
        with pytest.raises(SettingsError, match=rf"the package {missing} is not .*\[{missing}\]"):
            check(usable)
        check(usable.model_copy(update={"mode": Mode.PLAY}))


def test_a_package_that_the_core_does_not_have_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(commands, "FLEET_MODULES", ("torch", "nowhere"))
    for mode in ("train", "play"):
        with pytest.raises(StartError, match=r"a fleet needs nowhere, .* run \./start"):
            check(settings(tmp_path, mode=mode))


def test_a_desktop_game_without_its_programs_is_not_started(tmp_path: Path):
    entry = small_game(tmp_path, replace=('needs = ["love"]', 'needs = ["no-such-program"]'))
    given = settings(tmp_path).model_copy(update={"game": entry.game_id})
    with pytest.raises(GameStartError, match=r"can't start without no-such-program: run 'sudo apt"):
        check(given)


def test_an_address_that_ends_with_a_stream_key_is_refused_without_being_printed(tmp_path: Path):
    given = settings(tmp_path)
    air = Air(to="rtmp://host/app/live_secret")
    for checked in (check, check_hub):
        with pytest.raises(SettingsError, match="METABONK_AIR_KEY") as refusal:
            checked(given.model_copy(update={"air": air}))
        assert "live_secret" not in str(refusal.value)
