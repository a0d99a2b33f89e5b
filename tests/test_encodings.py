"""Files are UTF-8, and terminals get what they can show, whatever the locale."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.settings import load_settings
from tests.cli.conftest import Terminal, commands, terminal
from tests.support.serving import free_ports

ROOT = Path(__file__).parents[1]
SOURCES = (
    *(ROOT / "src").rglob("*.py"),
    *(ROOT / "scripts").glob("*.py"),
    *(ROOT / "web").glob("*.py"),
    ROOT / "start",
    ROOT / "test",
    ROOT / "noxfile.py",
)

MODE = re.compile("[rwax][bt]?[+]?")
PATH_OPEN = re.compile(r"(?!av\.|os\.).+\.open")

LOCALES = {
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "latin-1": {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "latin-1",
    },
}
"""Variables of terminals that show some of Unicode; Python's own repairs of the first are off."""

__all__ = ["commands", "terminal"]


def text_files_in_the_locale(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that read, write or pipe text in the encoding of the locale."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if "encoding" in given:
            continue
        words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        mode = next((word for word in words if MODE.fullmatch(str(word))), None)
        if (
            function.endswith((".read_text", ".write_text", "FileHandler"))
            or "True" in (given.get("text"), given.get("universal_newlines"))
            or (function in ("open", "os.fdopen") and "b" not in (mode or ""))
            or (PATH_OPEN.fullmatch(function) and mode is not None and "b" not in mode)
        ):
            yield node.lineno


def test_every_text_file_and_pipe_names_its_encoding():
    found = {
        str(file.relative_to(ROOT)): lines
        for file in SOURCES
        if (lines := list(text_files_in_the_locale(ast.parse(file.read_text(encoding="utf-8")))))
    }
    assert found == {}


def test_a_file_without_an_encoding_is_found():
    code = "a.read_text()\nopen('x')\nf.open('w')\nrun(c, text=True)\nf.open('rb')\nos.open('x', 1)"
    assert list(text_files_in_the_locale(ast.parse(code))) == [1, 2, 3, 4]


@pytest.mark.parametrize("locale", LOCALES)
def test_commands_print_what_the_terminal_can_show(locale: str, tmp_path: Path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_text("# größer\nworkers = 1\n", encoding="utf-8")
    (tmp_path / "metabonk.toml").write_text("# für mich\nstream.engine = 'av'\n", encoding="utf-8")
    program = (
        "from metabonk.cli import doctor, main\n"
        "doctor.encoder_findings = lambda settings, pools: iter(())\n"
        "doctor.browser_finding = lambda: doctor.Finding('gr\\xf6\\xdfer', '\\u2192 \\u753b')\n"
        "print(main.main(['doctor']), main.main(['nvenc', 'status']), main.main(['stop']))"
    )
    ports = dict(zip(("ORCHESTRATOR", "PAGE", "LEARNER", "WORKER"), free_ports(4), strict=True))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={
            **{k: v for k, v in os.environ.items() if k not in ("LANG", "PYTHONIOENCODING")},
            **LOCALES[locale],
            **{f"METABONK_PORTS_{name}": str(port) for name, port in ports.items()},
            "METABONK_PATHS_RUNTIME": str(tmp_path / "runtime"),
            "METABONK_STREAM_PROFILE": "mine",
        },
        capture_output=True,
    )
    output = done.stdout.decode("ascii" if locale == "ASCII" else "latin-1")
    assert done.stderr == b""
    assert "+ all ports are free" in output
    expected = "* gr??er" if locale == "ASCII" else "· größer"
    assert f"{expected}\n    -> -> ?\n" in output
    assert output.splitlines()[-1] == "0 0 0"
    assert not (tmp_path / "logs").exists(), "no crash"


def test_an_installation_is_told_on_any_terminal():
    program = "import bootstrap; bootstrap.say('\\u2022 installing \\u2026')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**LOCALES["ASCII"], "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"? installing ?\n", b"")


def test_a_fleet_runs_where_neither_the_terminal_nor_names_of_files_are_utf8(terminal: Terminal):
    terminal.environment.pop("PYTHONIOENCODING", None)
    terminal.environment |= LOCALES["ASCII"]
    folder = terminal.folder / "größer"
    folder.mkdir()
    terminal.folder = folder
    process = terminal.start("OBEDIENT", "--workers", "2")
    terminal.ready()
    stopped = terminal.run("stop")
    assert stopped.returncode == 0
    assert process.wait(20) == 0
    assert "Traceback" not in terminal.text + stopped.stdout + stopped.stderr
    assert not (folder / "logs" / "crash.log").exists()


def test_a_settings_file_with_a_byte_order_mark_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("metabonk.toml").write_text("workers = 7\n", encoding="utf-8-sig")
    assert load_settings().workers == 7
