"""What is out at first sight, and why."""

import importlib.util
from pathlib import Path

import pytest

from metabonk.encoding import inventory
from metabonk.encoding.ladder import RUNGS

CUDA, GST, VA = "gst:cuda_appsrc:nvh264enc", "gst:appsrc:nvh264enc", "gst:appsrc:vah264enc"

AV_CUDA = "av:cuda:h264_nvenc"


@pytest.mark.parametrize("engine", ["av", "gst"])
def test_a_chosen_engine_leaves_the_other_out(engine: str):
    out = inventory.missing(engine)
    for rung in RUNGS:
        if not rung.backend.startswith(f"{engine}:"):
            assert out[rung.backend] == f"stream.engine is {engine!r}"


def test_without_the_bindings_the_command_that_adds_them_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(inventory, "version", lambda name: "2.13.0+cu130")
    out = inventory.missing()
    assert "pip install 'metabonk[gst]'" in out[GST]
    assert {backend.partition(":")[0] for backend in out} == {"gst"}


def test_frames_on_the_gpu_need_a_pytorch_with_cuda(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(inventory, "version", lambda name: "2.13.0+cpu")
    assert "without CUDA" in inventory.missing()[CUDA]
    assert "without CUDA" in inventory.missing()[AV_CUDA]
    monkeypatch.setattr(inventory, "version", lambda name: "2.13.0+cu130")
    assert inventory.missing().keys().isdisjoint({CUDA, AV_CUDA})


def test_va_api_needs_a_render_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(inventory, "RENDER_NODES", tmp_path / "none")
    assert "no GPU that VA-API could use" in inventory.missing()[VA]
    monkeypatch.setattr(inventory, "RENDER_NODES", tmp_path)
    assert VA not in inventory.missing()
