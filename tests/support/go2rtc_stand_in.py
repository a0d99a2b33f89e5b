"""A program in go2rtc's place: takes what go2rtc's documentation says, and nothing else.

It refuses arguments and keys that are not in go2rtc's JSON schema (``www/schema.json``), takes the
configuration as an argument, listens where it is told, and answers ``GET /api/streams`` as the real
one does: by the streams.
"""

import re
import stat
import sys
from pathlib import Path

PROGRAM = """#!{python}
import contextlib, http.server, json, os, socketserver, sys

flag, text = sys.argv[1:]
assert flag in ("-config", "-c"), flag
assert text[0] == "{{", "a file, which POST /api/config would replace"
config = json.loads(text)
KNOWN = {{
    "app": {{"modules"}},
    "api": {{"listen", "unix_listen", "allow_paths", "origin"}},
    "rtsp": {{"listen"}},
    "srtp": {{"listen"}},
    "webrtc": {{"listen", "candidates", "ice_servers", "filters"}},
    "log": {{"format", "level", "output", "time"}},
}}
for section, keys in config.items():
    assert section == "streams" or set(keys) <= KNOWN[section], section
assert config["api"]["listen"] == "", "reachable by browsers"


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        allowed = self.path in config["api"]["allow_paths"]
        self.send_response(200 if allowed and self.path == "/api/streams" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(config["streams"]).encode())

    def log_message(self, *_):
        pass


path = config["api"]["unix_listen"]
with contextlib.suppress(FileNotFoundError):
    os.unlink(path)
server = socketserver.ThreadingUnixStreamServer(path, Api)
print("ready", flush=True)
server.serve_forever()
"""

LISTEN = re.compile(r":[0-9]{1,5}$|^$")
"""``definitions.listen`` of go2rtc's JSON schema."""


def install(folder: Path, program: str | None = None) -> Path:
    """Write the program to ``folder`` as ``go2rtc``."""
    file = folder / "go2rtc"
    file.write_text(program or PROGRAM.format(python=sys.executable))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file
