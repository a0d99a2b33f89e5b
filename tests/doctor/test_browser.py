"""A real browser, and findings with and without one."""

import subprocess
from pathlib import Path

import pytest

from metabonk.doctor import browser as browser_module
from metabonk.doctor.browser import browser_finding, find_browser, rendered_text
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
def test_the_rendered_text_is_what_scripts_produced(
    chromium: str, tmp_path: Path, script: str, shown: str
):
    (tmp_path / "page.html").write_text(PAGE.format(script=script))
    assert rendered_text(chromium, f"file://{tmp_path}/page.html").strip() == shown


def test_a_browser_that_plays_the_streams_is_reported(chromium: str):
    assert browser_finding().message == f"{chromium} plays H.264"


def test_a_browser_without_h264_calls_for_another(chromium: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browser_module, "H264", 'video/mp4; codecs="none.1"')
    finding = browser_finding()
    assert (
        "does not play H.264" in finding.message
        and finding.action is not None
        and not finding.blocking
    )


def test_no_browser_calls_for_no_action(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browser_module, "BROWSERS", ())
    assert browser_finding().action is None


def test_a_browser_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browser_module, "find_browser", lambda: "/bin/false")
    assert "could not be tested" in browser_finding().message
    with pytest.raises(subprocess.SubprocessError):
        rendered_text("/bin/false", "about:blank")
