"""Names of keys."""

import pytest

from metabonk.desktop.keys import is_key


@pytest.mark.parametrize("name", ["a", "5", "/", "Left", "F12", "mouse_left", "mouse@10,200"])
def test_known_names(name: str):
    assert is_key(name)


@pytest.mark.parametrize("name", ["", "left", "ab", "F13", "mouse", "mouse@1", "mouse@x,y", "é"])
def test_unknown_names(name: str):
    assert not is_key(name)
