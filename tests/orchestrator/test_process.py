"""What the processes of a fleet are told when they are started."""

from pathlib import Path

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.orchestrator.process import child_specs
from metabonk.settings import Settings


def environments(*gpus: Gpu, workers: int = 3, mode: str = "train") -> dict[str, dict[str, str]]:
    settings = Settings.model_validate({"workers": workers, "mode": mode})
    specs = child_specs(settings, Path("settings.json"), Path("run"), gpus)
    return {spec.name: dict(spec.environment) for spec in specs}


def cards(count: int) -> list[Gpu]:
    return [
        Gpu(index, f"GPU-{index}", "NVIDIA", 5, "590.44", is_only_gpu=count == 1)
        for index in range(count)
    ]


def test_workers_go_round_the_gpus_and_the_learner_has_the_first():
    first, second = ({"CUDA_VISIBLE_DEVICES": f"GPU-{index}"} for index in (1, 0))
    assert environments(*reversed(cards(2))) == {
        "omega-0": first,
        "learner": first,
        "omega-1": second,
        "omega-2": first,
    }
    assert "learner" not in environments(*cards(2), mode="play")


def test_where_there_is_nothing_to_choose_nothing_is_said():
    assert set(map(len, environments().values())) == {0}
    assert set(map(len, environments(*cards(1)).values())) == {0}
