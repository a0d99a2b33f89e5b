from pathlib import Path

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.messages.workers import Counters
from metabonk.orchestrator.processes.children import child_specs, log_files
from metabonk.orchestrator.processes.supervisor import ChildSpec
from metabonk.settings import Settings


def specs(
    *gpus: Gpu,
    workers: int = 3,
    mode: str = "train",
    inference: str = "auto",
    counted: dict[int, Counters] | None = None,
) -> dict[str, ChildSpec]:
    settings = Settings.model_validate(
        {"workers": workers, "mode": mode, "worker": {"inference": inference}}
    )
    counters = counted or {}
    children = child_specs(
        settings,
        Path("settings.json"),
        Path("run"),
        gpus,
        lambda index: counters.get(index, Counters()),
    )
    return {child.name: child for child in children}


def environments(*gpus: Gpu, mode: str = "train") -> dict[str, dict[str, str]]:
    return {name: dict(child.environment) for name, child in specs(*gpus, mode=mode).items()}


def cards(count: int) -> list[Gpu]:
    return [
        Gpu(index, f"GPU-{index}", "NVIDIA", 5, "590.44", is_only_gpu=count == 1)
        for index in range(count)
    ]


def test_workers_are_spread_over_the_gpus_and_the_learner_has_the_first():
    first, second = ({"CUDA_VISIBLE_DEVICES": f"GPU-{index}"} for index in (1, 0))
    assert environments(*reversed(cards(2))) == {
        "omega-0": first,
        "learner": first,
        "inference-0": first,
        "inference-1": second,
        "omega-1": second,
        "omega-2": first,
    }
    assert "learner" not in environments(*cards(2), mode="play")


def test_the_workers_of_each_gpu_share_an_inference_server():
    children = specs(*cards(2))
    assert [name for name in children if name.startswith("inference")] == [
        "inference-0",
        "inference-1",
    ]
    for index, number in ((0, "0"), (1, "1"), (2, "0")):
        worker, server = children[f"omega-{index}"], children[f"inference-{number}"]
        command = worker.command()
        assert command[command.index("--inference") + 1] == number
        assert list(server.command()[-2:]) == ["--number", number]
        assert server.environment == worker.environment


def test_there_are_no_more_inference_servers_than_workers():
    assert "inference-1" not in specs(*cards(2), workers=1)


def test_nobody_shares_inference_without_a_gpu_or_without_learning_unless_told_to():
    assert "inference-0" in specs(*cards(1))
    assert "inference-0" not in specs()
    assert "inference-0" not in specs(*cards(1), mode="play")
    assert "inference-0" not in specs(*cards(1), inference="own")
    assert "inference-0" in specs(inference="shared")
    assert "--inference" not in specs()["omega-0"].command()


def test_without_a_choice_of_gpus_the_environment_is_left_alone():
    assert set(map(len, environments().values())) == {0}
    assert set(map(len, environments(*cards(1)).values())) == {0}


def test_a_worker_is_given_the_counters_known_at_each_of_its_starts():
    counted = {1: Counters(step=500, episode=9)}
    children = specs(counted=counted)

    def counted_by(index: int) -> str:
        command = children[f"omega-{index}"].command()
        return command[command.index("--counted") + 1]

    assert [counted_by(index) for index in range(2)] == ["0,0", "500,9"]
    counted[1] = Counters(step=620, episode=11)
    assert counted_by(1) == "620,11"
    assert Counters.parse(counted_by(1)) == counted[1]


def test_the_logs_of_a_fleet_are_those_of_its_processes_alone():
    settings = Settings(workers=2)
    specs = child_specs(settings, Path("settings.json"), Path("run"), [], lambda index: Counters())
    names = ["orchestrator", "fork-server", "renderers", "omega-0", "learner", "omega-1"]
    assert log_files(settings, specs) == [settings.paths.logs / f"{name}.log" for name in names]
