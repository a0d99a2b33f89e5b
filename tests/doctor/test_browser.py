"""What a real browser shows, and what is said without one."""

import subprocess
from pathlib import Path

import pytest

from metabonk.doctor import browser as browser_module
from metabonk.doctor.browser import browser, find_browser, text_of
from tests.support.requirements import require

PAGE = """<!doctype html><body><noscript>no script ran</noscript><div id="a"></div>
<script>{script}</script></body>"""


@pytest.fixture
def chromium() -> str:
    return require(find_browser(), "a browser", apt="chromium")


@pytest.mark.parametrize(
    ("script", "shown"),
    [("document.getElementById('a').textContent = 'it ran'", "it ran"), ("throw 1", "")],
)
def test_the_text_is_what_scripts_made(chromium: str, tmp_path: Path, script: str, shown: str):
    (tmp_path / "page.html").write_text(PAGE.format(script=script))
    assert text_of(chromium, f"file://{tmp_path}/page.html").strip() == shown


def test_a_browser_that_plays_the_streams_says_so(chromium: str):
    assert browser().what == f"{chromium} plays H.264"


def test_one_that_does_not_is_to_be_replaced(chromium: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browser_module, "H264", 'video/mp4; codecs="none.1"')
    found = browser()
    assert "does not play H.264" in found.what and found.do is not None and not found.needed


def test_none_at_all_is_nothing_to_act_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browser_module, "BROWSERS", ())
    assert browser().do is None


def test_one_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browser_module, "find_browser", lambda: "/bin/false")
    assert "could not be asked" in browser().what
    with pytest.raises(subprocess.SubprocessError):
        text_of("/bin/false", "about:blank")
