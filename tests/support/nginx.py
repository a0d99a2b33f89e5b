"""A real nginx in front of the page."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.requirements import require
from tests.support.waiting import until

DOCS = Path(__file__).parents[2] / "docs" / "remote.md"
MAIN = """
daemon off; master_process off; pid FOLDER/pid; error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
    server { listen 127.0.0.1:PORT; LOCATION }
}
"""


def documented_location() -> str:
    """Return nginx's ``location`` as the documentation has it."""
    found = re.search(r"```nginx\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert found is not None
    return found[1]


@contextmanager
def nginx(location: str, page: int, port: int, folder: Path) -> Iterator[None]:
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    program = require(found, "nginx", apt="nginx-light")
    main = MAIN.replace("FOLDER", str(folder)).replace("PORT", str(port))
    file = folder / "nginx.conf"
    file.write_text(main.replace("LOCATION", location.replace(":5173", f":{page}")))
    process = subprocess.Popen([program, "-p", folder, "-c", file], stderr=subprocess.DEVNULL)
    try:
        until("nginx answers", lambda: httpx.get(f"http://127.0.0.1:{port}/", trust_env=False))
        yield
    finally:
        process.terminate()
        process.wait()
