"""Settings of a node."""

from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.node.settings import node_name, node_settings
from metabonk.settings import Settings
from metabonk.settings.load import settings_values

PORTS = {"orchestrator": 8041, "learner": 8062, "worker": 5064}


def of_a_node(fleet: Settings, local: Settings) -> Settings:
    return node_settings(local, settings_values(fleet), "b", PORTS)


def test_the_game_and_the_learning_are_the_fleets():
    fleet = Settings.model_validate(
        {
            "game": "gym:CartPole-v1",
            "workers": 64,
            "host": "0.0.0.0",
            "nodes": {"count": 4},
            "learning": {"rollout_steps": 64},
            "stream": {"fps": 15},
        }
    )
    settings = of_a_node(fleet, Settings())
    assert (settings.game, settings.stream.fps) == ("gym:CartPole-v1", 15)
    assert settings.learning.model_fields_set == {"rollout_steps"}
    assert (settings.host, settings.nodes.count) == ("127.0.0.1", 0)


def test_ports_paths_and_sessions_are_the_machines():
    fleet = Settings.model_validate({"cpu": {"max_sessions": 9}, "ports": {"worker": 6000}})
    local = Settings.model_validate(
        {"cpu": {"max_sessions": 3}, "gpus": [1], "paths": {"runs": "/data/runs"}}
    )
    settings = of_a_node(fleet, local)
    assert (settings.cpu.max_sessions, settings.gpus, settings.ports.worker) == (3, (1,), 5064)
    assert (settings.ports.orchestrator, settings.ports.learner) == (8041, 8062)
    # The head and other nodes may share the folder.
    assert settings.paths.runs == Path("/data/runs/nodes/b")


def test_settings_of_another_version_are_refused_in_a_sentence():
    with pytest.raises(StartError, match="can't be used here: there is no setting surprise"):
        node_settings(Settings(), {"surprise": 1}, "b", PORTS)


def test_a_node_is_named_after_its_machine():
    assert node_name("gpu-3.cluster.example") == "gpu-3.cluster.example"
    assert node_name("-Jörgs Rechner") == "J-rgs-Rechner"
    assert node_name("…") == "node"
