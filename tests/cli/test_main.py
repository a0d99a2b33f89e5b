"""Command-line boundary: messages for user errors, a log for internal ones."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from metabonk.cli.main import CRASH_LOG, main
from metabonk.errors import ERROR_PREFIX, StartError

BREAK = """
import sys, threading
from metabonk.cli import main, stop
def broken(arguments):
    if sys.argv[1] == "thread":
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        return 0
    return 1 // 0
stop.run = broken
sys.exit(main.main(["stop"]))
"""


def metabonk(folder: Path, *arguments: str, stdout: int = subprocess.PIPE) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout or "", done.stderr


def test_a_metabonk_error_is_printed_as_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def refuse(arguments: object) -> int:
        raise StartError("the port is taken; take another")

    monkeypatch.setattr("metabonk.cli.stop.run", refuse)
    assert main(["stop"]) == 1
    assert capsys.readouterr().err == f"{ERROR_PREFIX}the port is taken; take another\n"


def test_ctrl_c_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("metabonk.cli.stop.run", interrupt)
    assert main(["stop"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_an_internal_error_is_one_line_on_the_terminal_and_a_traceback_in_a_log(
    tmp_path: Path, where: str
):
    code, _, terminal = metabonk(tmp_path, "-c", BREAK, where)
    assert code == (1 if where == "main" else 0)
    assert "Traceback" not in terminal
    assert "ZeroDivisionError" in terminal and "crash.log" in terminal
    assert len(terminal.splitlines()) == 1
    assert "Traceback" in (tmp_path / CRASH_LOG).read_text()


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("start", "--nonsense")])
def test_an_invalid_command_line_prints_the_usage(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert "usage: metabonk" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exited:
        main(["--help"])
    assert exited.value.code == 0
    listed = capsys.readouterr().out
    for command in ("start", "stop", "nvenc"):
        assert f"    {command} " in listed


def test_version_prints_the_version_of_the_package(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"metabonk {version('metabonk')}\n"


def test_start_refuses_arguments_before_it_imports_torch_games_or_a_server():
    program = (
        "import sys; import metabonk.cli.start\n"
        "print([m for m in ('torch', 'vizdoom', 'gymnasium', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("cleanup_lock")  # Others may take it for an orphan.
def test_a_child_whose_parent_has_ended_exits_with_a_message(tmp_path: Path):
    (tmp_path / "settings.json").write_text("{}")
    code, _, log = metabonk(
        tmp_path, "-m", "metabonk.cli.main", "learner", "--settings", "settings.json",
        "--run", ".", "--parent", str(os.getpid() + 1),
    )  # fmt: skip
    assert code == 1
    assert "has already ended" in log.splitlines()[-1]


def test_a_closed_output_pipe_is_not_an_internal_error(tmp_path: Path):
    program = (
        "import sys, time\nfrom metabonk.cli import main, stop\n"
        "def flood(arguments):\n"
        "    while True: sys.stdout.write('x' * 10000)\n"
        "stop.run = flood\nsys.exit(main.main(['stop']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_missing_library_is_named_with_a_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "metabonk.cli.stop", None)
    assert main(["stop"]) == 1
    error = capsys.readouterr().err
    assert "no module 'metabonk.cli.stop'" in error
    assert "./start" in error
