"""Make ``.venv`` and install MetaBonk into it. Standard library only; shared by start and test.

A stamp in ``.venv`` records what was installed and from which sources. It is removed first and
written last, so an interrupted installation is repeated; a current one costs a few milliseconds.
"""

import ast
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # An older Python, which only gets to ``require_python``.
    tomllib = None

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "metabonk-stamp.json"
PIP_INSTALL = (PYTHON, "-I", "-m", "pip", "install", "--no-input", "--no-compile")
"""Python compiles what it imports. Compiling all of PyTorch and the rest takes over a minute."""

OLDEST_PYTHON = (3, 11)
LINES_SHOWN = 15

FLEET_EXTRAS = ("train", "doom")
"""Groups of optional dependencies that a fleet needs."""

WEB_PARTS = (
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "tsconfig.json",
    "build_hook.py",
)

# Python's variables that lead a virtual environment's interpreter or pip elsewhere.
MISLEADING = ("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__")

# pip's options about where packages come from. Others, such as target, prefix and user, say where
# they go, which is .venv.
PIP_SOURCES = (
    "index-url",
    "extra-index-url",
    "no-index",
    "find-links",
    "trusted-host",
    "proxy",
    "cert",
    "client-cert",
    "keyring-provider",
    "use-feature",
    "use-deprecated",
    "timeout",
    "default-timeout",
    "retries",
    "cache-dir",
    "no-cache-dir",
)
PIP_SECTIONS = ("global", "install", ":env:")
"""Sections of pip's configuration, from the lowest precedence."""

# Text in the output of pip or npm → advice.
ADVICE = {
    "No space left on device": "free some disk (the installation takes about 3 GB)",
    "Temporary failure in name resolution": "check the network connection, then start again",
    "Connection refused": "check the network connection and pip's proxy settings, then start again",
    "Read timed out": "the package index is slow or unreachable; start again",
    "No matching distribution found": "the package has no build for this Python or machine; "
    "Python 3.11 to 3.13 on x86-64 Linux is supported",
    "Permission denied": "make the checkout writable for this user",
}


def install(extra=""):
    """Bring ``.venv`` up to date.

    Args:
        extra: optional-dependencies groups besides those of a fleet, such as ``test,docs``.
    """
    require_python()
    wanted = _digest()
    if _stamped(wanted, extra):
        return
    with _alone():
        if _stamped(wanted, extra):
            return
        STAMP.unlink(missing_ok=True)
        if not _is_sound():
            _make_venv()
        extras = ",".join((*FLEET_EXTRAS, extra) if extra else FLEET_EXTRAS)
        step(
            "installing MetaBonk and building its page (takes minutes the first time)",
            [*PIP_INSTALL, "-c", "constraints.txt", "-e", f".[{extras}]"],
            environment=pip_environment(),
        )
        if missing := _missing():
            fail(
                f"pip has finished, but .venv has no {', '.join(sorted(missing))}\n"
                f"  → '{PYTHON} -m pip config debug' shows the configuration that led it elsewhere"
            )
        _write_stamp(wanted, extra)


def require_python():
    """Re-execute in a newer Python if this one is too old; fail if there is none."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in (13, 12, 11):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, *sys.argv])
    fail(
        f"MetaBonk needs Python 3.11 or newer, not {sys.version.split()[0]}\n"
        "  → install it (Debian 12 and Ubuntu 24.04: apt install python3 python3-venv), "
        "then start again"
    )


def step(what, command, cwd=ROOT, environment=None):
    """Run a command quietly and print how long it took; exit with advice if it fails."""
    say(f"• {what} …")
    began = time.monotonic()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    seconds = time.monotonic() - began
    if done.returncode:
        last = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-LINES_SHOWN:])
        advice = next((do for words, do in ADVICE.items() if words in done.stdout), None)
        fail(
            f"this step failed after {seconds:.0f} s: {what}\n{last}\n"
            f"  → {advice or 'see above; finished steps are kept, so just start again'}"
        )
    say(f"  done in {seconds:.1f} s")


def run_metabonk(*arguments):
    """Replace this process by ``metabonk …`` in the checkout."""
    os.chdir(ROOT)
    if not PYTHON.exists():
        fail("MetaBonk is not installed here yet\n  → ./start installs it")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONHOME", "__PYVENV_LAUNCHER__")
    }
    os.execve(PYTHON, [str(PYTHON), "-m", "metabonk.cli.main", *arguments], environment)


def pip_environment():
    """Return an environment in which pip installs into ``.venv``, from the user's sources."""
    environment = _plain_environment()
    kept = ("PIP_CONFIG_FILE", *map(_pip_variable, PIP_SOURCES))
    given = {name: os.environ[name] for name in kept if name in os.environ}
    list_command = (PYTHON, "-I", "-m", "pip", "config", "list")
    asked = _ask(*list_command, environment={**environment, **given})
    if asked.returncode:
        fail(f"pip can't read its configuration: {asked.stderr.strip()}\n  → correct that file")
    found = {}
    for line in asked.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in PIP_SECTIONS and option in PIP_SOURCES:
            found[option, PIP_SECTIONS.index(section)] = ast.literal_eval(value)
    for option, section in sorted(found):
        environment[_pip_variable(option)] = found[option, section]
    # Then pip reads no other file (pip.pypa.io/en/stable/topics/configuration).
    return {**environment, "PIP_CONFIG_FILE": os.devnull}


def say(line):
    """Print a line, flushed even into a pipe; what the terminal lacks becomes a question mark."""
    encoding = sys.stdout.encoding
    print(line.encode(encoding, "replace").decode(encoding), flush=True)


def fail(message):
    """Exit with a message and code 1."""
    sys.exit(f"metabonk: {message}")


def _make_venv():
    # Debian packages ensurepip separately; without it the environment would have no pip.
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python3.{sys.version_info[1]}-venv"
        fail(
            "this Python can't make virtual environments: its module ensurepip is missing\n"
            f"  → apt install python3-venv   (or {package}), then start again"
        )
    command = [sys.executable, "-I", "-m", "venv", "--clear", VENV]
    step("making .venv", command, environment=_plain_environment())


def _pip_variable(option):
    return "PIP_" + option.upper().replace("-", "_")


def _plain_environment():
    """Return this environment without what leads pip or an interpreter elsewhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in MISLEADING and not name.startswith("PIP_")
    }


def _ask(*command, environment=None):
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", errors="replace"
    )


def _is_sound():
    """Return whether ``.venv`` works, has this Python, and was made at this path."""
    if not PYTHON.exists():
        return False
    program = "import pip, sys; print(sys.prefix, sys.version_info[:3])"
    try:
        asked = _ask(PYTHON, "-I", "-c", program)
    except OSError:
        return False
    activate = VENV / "bin" / "activate"
    told = activate.read_text(encoding="utf-8", errors="replace") if asked.stdout else ""
    return asked.stdout.strip() == f"{VENV} {sys.version_info[:3]}" and str(VENV) in told


def _missing():
    """Return the direct dependencies of a fleet that ``.venv`` lacks, and MetaBonk itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (project["optional-dependencies"][name] for name in FLEET_EXTRAS)
    lines = sum(extras, project["dependencies"])
    wanted = (re.match(r"[\w.-]+", line)[0] for line in lines)
    installed = VENV.glob("lib/python*/site-packages/*.dist-info")
    return {_normalized(name) for name in (project["name"], *wanted)} - {
        _normalized(folder.name.split("-")[0]) for folder in installed
    }


def _normalized(name):
    """Return a package's name as pip compares it (packaging.python.org, "Name normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest():
    """Hash everything that an installation depends on."""
    digest = hashlib.sha256(f"{sys.version_info[:3]} {ROOT}".encode())
    for file in (ROOT / "pyproject.toml", ROOT / "constraints.txt", *_web_sources()):
        digest.update(f"{file.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _web_sources():
    for name in WEB_PARTS:
        part = ROOT / "web" / name
        inside = sorted(part.rglob("*")) if part.is_dir() else [part]
        yield from (file for file in inside if file.is_file() and ".test." not in file.name)


def _stamped(digest, extra):
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        current = stamp["digest"] == digest and extra in stamp["extras"]
        return current and PYTHON.exists() and not _missing()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_stamp(digest, extra):
    """Write the stamp atomically; an installation with an extra also satisfies one without."""
    new = STAMP.with_suffix(".new")
    text = json.dumps({"digest": digest, "extras": sorted({"", extra})})
    new.write_text(text, encoding="utf-8")
    new.replace(STAMP)


@contextlib.contextmanager
def _alone():
    """Allow one installation at a time; locking the folder itself leaves no file behind."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("• waiting for another start or test that is installing here …")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
