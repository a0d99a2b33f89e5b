"""A program in go2rtc's place: takes what go2rtc's documentation says, and nothing else.

It refuses arguments and keys that are not in go2rtc's JSON schema or its modules' documentation,
listens where it is told, and answers ``GET /api/streams`` as the real one does: by the streams.
"""

import re
import stat
import sys
from pathlib import Path

PROGRAM = """#!{python}
import http.server, json, sys

flag, file = sys.argv[1:]
assert flag in ("-config", "-c"), flag
config = json.load(open(file))
KNOWN = {{
    "api": {{"listen"}},
    "rtsp": {{"listen"}},
    "srtp": {{"listen"}},
    "webrtc": {{"listen", "candidates", "ice_servers", "filters"}},
    "log": {{"format", "level", "output", "time"}},
}}
for section, keys in config.items():
    assert section == "streams" or set(keys) <= KNOWN[section], section
host, port = config["api"]["listen"].rsplit(":", 1)


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(config["streams"]).encode()
        self.send_response(200 if self.path == "/api/streams" else 404)
        self.end_headers()
        self.wfile.write(body)


server = http.server.HTTPServer((host, int(port)), Api)
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
