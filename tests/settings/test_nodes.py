"""The secret that the machines of a fleet share."""

import os
import stat
from pathlib import Path

import pytest

from metabonk.errors import SettingsError
from metabonk.settings.nodes import TOKEN_VARIABLE, head_token, node_token

TOKEN = "a-secret-of-this-test"


def test_the_head_makes_a_token_that_is_its_users_alone_and_keeps_it(tmp_path: Path):
    file = tmp_path / "runs" / "node-token"
    token = head_token(file)
    assert len(token) >= 32 and head_token(file) == node_token(file) == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_variable_goes_before_the_file_and_is_inherited_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(TOKEN_VARIABLE, f"{TOKEN}\n")
    assert head_token(tmp_path / "token") == TOKEN
    assert not (tmp_path / "token").exists()
    assert TOKEN_VARIABLE not in os.environ


@pytest.mark.parametrize("text", ["", "short", "non-ASCII-tökens-are-refused", "a b" * 9 + "\tx"])
def test_a_token_that_cannot_be_sent_or_guessed_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="must have at least 16"):
        node_token(file)


def test_without_a_token_or_its_file_the_sentence_says_where_it_is_from(tmp_path: Path):
    with pytest.raises(SettingsError, match="copy its file from there"):
        node_token(None)
    with pytest.raises(SettingsError, match="can't read the nodes' token in"):
        node_token(tmp_path / "missing")
