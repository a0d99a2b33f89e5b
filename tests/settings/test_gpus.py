"""What CUDA is told, and was told, through the environment."""

import pytest

from metabonk.settings.gpus import environment_with, gpus_are_hidden, seeing, visible_devices


@pytest.mark.parametrize(
    ("visible", "hidden"), [(None, False), ("", True), ("-1", True), ("0", False), ("1,0", False)]
)
def test_gpus_can_be_hidden_as_from_any_program(
    visible: str | None, hidden: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_devices() == visible
    assert gpus_are_hidden() is hidden


def test_a_child_sees_what_it_is_told_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SOMETHING", "else")
    environment = environment_with(seeing("GPU-7"))
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-7"
    assert environment["SOMETHING"] == "else"
    assert visible_devices() == "0,1"
