import logging
from pathlib import Path

import pytest
from pydantic import ValidationError

from metabonk.air.backoff import MAX_S, STABLE_S, Backoff
from metabonk.air.target import MASK, KeyMask, Target, read_key
from metabonk.errors import SettingsError
from metabonk.settings.air import Air

KEY = "live_secret"


@pytest.mark.parametrize(
    ("to", "address", "format_name"),
    [
        ("rtmp://host/app", f"rtmp://host/app/{KEY}", "flv"),
        ("rtmps://host:443/app/", f"rtmps://host:443/app/{KEY}", "flv"),
        ("whip+https://host/whip", "https://host/whip", "whip"),
        ("hls:/var/www", "/var/www/program.m3u8", "hls"),
    ],
)
def test_the_key_is_the_last_part_of_an_rtmp_address_only(to: str, address: str, format_name: str):
    target = Target.of(to, KEY)
    assert (target.address, target.format) == (address, format_name)


@pytest.mark.parametrize(
    "to",
    [
        "http://host/app",
        "rtmp://",
        "hls:",
        "whip+rtmp://host",
        "rtmp://host:port/app",
        "rtmp://user:word@host/app",
        "rtmp://host/app?key=abc",
    ],
)
def test_what_can_not_be_shown_or_used_is_refused(to: str):
    with pytest.raises(ValidationError):
        Air(to=to)


def test_an_address_that_seems_to_end_with_a_key_is_noticed(tmp_path: Path):
    assert Air(to="rtmp://host/app/live_secret").has_bare_key
    assert not Air(to="rtmp://host/app").has_bare_key
    assert not Air(to="rtmp://host/app/instance", key_file=tmp_path).has_bare_key
    assert not Air(to="hls:/var/www/live").has_bare_key


def test_a_key_is_never_written_with_the_settings():
    assert "secret" not in Air.model_validate({"key": KEY}).model_dump_json()


def test_a_key_file_holds_a_key_and_nothing_else(tmp_path: Path):
    file = tmp_path / "key"
    with pytest.raises(SettingsError, match="can't be read"):
        read_key(file)
    file.write_text(f"{KEY}\n", encoding="utf-8")
    assert read_key(file) == KEY
    file.write_text("two words", encoding="utf-8")
    with pytest.raises(SettingsError, match="nothing else"):
        read_key(file)


def test_the_key_is_hidden_in_texts_and_in_every_part_of_a_log_line():
    mask = KeyMask(KEY)
    assert mask(f"rtmp://host/app/{KEY}: refused") == f"rtmp://host/app/{MASK}: refused"
    assert KeyMask(None)("as it is") == "as it is"
    try:
        raise OSError(f"rtmp://host/app/{KEY}")
    except OSError as error:
        record = logging.LogRecord(
            "libav", logging.ERROR, "", 0, "%s", (KEY,), (type(error), error, error.__traceback__)
        )
    assert mask.filter(record)
    assert KEY not in logging.Formatter().format(record)


def test_pauses_grow_up_to_a_limit_and_shrink_after_a_stable_connection():
    backoff = Backoff()
    pauses = [backoff.after(0.1) for _ in range(8)]
    assert pauses[:3] == [1.0, 2.0, 4.0] and pauses[-1] == MAX_S
    assert backoff.after(STABLE_S) == 1.0
