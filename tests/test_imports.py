"""Imports of the package by other programs: they are light, and wait for nothing."""

import json
import subprocess
import sys

import pytest

import metabonk
from tests.support.machine_speed import slowness

HEAVY = ("aiortc", "av", "cv2", "fastapi", "httpx", "pydantic", "torch", "uvicorn", "vizdoom")

MAX_IMPORT_S = 0.2

PROGRAM = """
import json, sys, time
began = time.perf_counter()
import metabonk
took = time.perf_counter() - began
import {module}
mine = [name for name in sys.modules if name.split(".")[0] == "metabonk"]
print(json.dumps([took, sorted(sys.modules), mine]))
"""


def imported(module: str) -> tuple[float, set[str], set[str]]:
    """Return the seconds that ``import metabonk`` takes, and what is imported after ``module``."""
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    took, modules, mine = json.loads(done.stdout)
    return took, {name.partition(".")[0] for name in modules}, set(mine)


def test_the_package_imports_nothing_until_something_is_used():
    took, modules, mine = imported("metabonk")
    assert took <= MAX_IMPORT_S * slowness()
    assert mine == {"metabonk"}
    assert modules.isdisjoint({*HEAVY, "numpy", "gymnasium"})


@pytest.mark.parametrize("module", ["wrapper", "vector", "stream", "notebook"])
def test_a_trainer_imports_little_more_than_gymnasium(module: str):
    _, modules, mine = imported(f"metabonk.broadcast.{module}")
    assert modules.isdisjoint(HEAVY)
    packages = {name.split(".")[1] for name in mine if "." in name}
    assert packages == {"broadcast", "errors", "system"}


@pytest.mark.parametrize("name", [name for name in metabonk.__all__ if name != "load_policy"])
def test_public_names_for_trainers_import_little(name: str):
    _, modules, mine = imported(f"metabonk; metabonk.{name}")
    assert "metabonk.broadcast" in mine and modules.isdisjoint(HEAVY)


def test_public_names_are_listed_and_others_are_unknown():
    assert set(metabonk.__all__) <= set(dir(metabonk))
    for name in metabonk.__all__:
        assert callable(getattr(metabonk, name))
    with pytest.raises(AttributeError, match="module 'metabonk' has no attribute 'Broadcasts'"):
        metabonk.Broadcasts  # noqa: B018


def test_what_reads_rings_does_not_import_games():
    _, modules, _ = imported("metabonk.broadcast.ring_reader, metabonk.broadcast.places")
    assert modules.isdisjoint({*HEAVY, "gymnasium"})
