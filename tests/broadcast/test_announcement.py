"""Announcements of environments."""

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabonk.broadcast.announcement import (
    DEFAULT_FPS,
    Announcement,
    Recipe,
    usable_fps,
)
from metabonk.errors import WireError

RECIPE = Recipe("{}", "/usr/bin/python3", ("/a", "/b"), "/work", ("Monitor",))
WHOLE = Announcement(
    "ppo-0", "environment", "0.2.0", 17, 50.0, "shadow", "now", 0.03, RECIPE, "", False
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.mark.parametrize("given", [WHOLE, dataclasses.replace(WHOLE, recipe=None, no_recipe="no")])
def test_an_announcement_comes_back(given: Announcement):
    assert Announcement.from_json(given.to_json()) == given


def test_what_a_later_version_adds_is_left_out():
    content = json.loads(WHOLE.to_json())
    content["mood"] = content["recipe"]["mood"] = "good"
    assert Announcement.from_json(json.dumps(content).encode()) == WHOLE


@given(st.sampled_from([*json.loads(WHOLE.to_json())]), JSON)
def test_a_damaged_announcement_is_an_error(name: str, value: Any):
    content = {**json.loads(WHOLE.to_json()), name: value}
    with contextlib.suppress(WireError):
        read = Announcement.from_json(json.dumps(content).encode())
        assert isinstance(getattr(read, name), type(getattr(WHOLE, name)) | int | None)


@given(st.binary())
def test_any_bytes_are_an_error(data: bytes):
    with pytest.raises(WireError, match="announcement is damaged"):
        Announcement.from_json(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "cat"}, "kind is 'cat'"),
        ({"pid": "1"}, "pid is '1'"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"recipe": {"spec": "{}"}}, "path"),
        ({"recipe": {**dataclasses.asdict(RECIPE), "path": [1]}}, "path is no list of texts"),
    ],
)
def test_a_field_that_can_not_be_is_named(changes: dict[str, Any], message: str):
    content = {**json.loads(WHOLE.to_json()), **changes}
    with pytest.raises(WireError, match=message):
        Announcement.from_json(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("given", "used"),
    [(50, 50.0), ("60", 60.0), (None, DEFAULT_FPS), (0, DEFAULT_FPS), (1e9, DEFAULT_FPS)],
)
def test_the_pace_is_that_of_the_game_where_it_is_a_pace(given: Any, used: float):
    assert usable_fps(given) == used
