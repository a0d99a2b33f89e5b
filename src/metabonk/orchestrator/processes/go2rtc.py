"""go2rtc (github.com/AlexxIT/go2rtc) beside the fleet: restreaming over RTSP, HLS and WebRTC.

It gets the program and one stream per worker, fed by their MPEG-TS, and reads a stream only while
it has a consumer; the director counts that as a viewer of the worker.

go2rtc checks neither ``Host`` nor ``Origin``, its API can replace its configuration, and some of
its sources run programs: to a web page in a browser on this machine it would be a shell. So its API
listens on a Unix socket, which no browser reaches, behind the guards of ``go2rtc_proxy``; it has no
configuration file that could be replaced; and what runs programs is not loaded.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from metabonk.messages.nodes import WORKERS_PATH
from metabonk.messages.program import PROGRAM
from metabonk.messages.workers import instance_id
from metabonk.orchestrator.processes.children import metabonk
from metabonk.orchestrator.processes.supervisor import ChildSpec
from metabonk.settings import Settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.process_ids import PARENT

NAME = "go2rtc"

NOTE = (
    "go2rtc is not used: {cause}; the built-in WebRTC serves instead "
    "(add ?transport=webrtc to a stream's address)"
)

MODULES = (
    *("api", "ws", "http", "rtsp", "webrtc", "mp4", "hls", "mjpeg", "ffmpeg"),
    # The module of MPEG-TS output is called by either name, depending on the version.
    *("mpegts", "mpeg"),
)
"""Those that are loaded: not ``exec``, ``echo`` and ``expr``, whose sources run programs."""

API_PATHS = (
    *("/api", "/api/ws", "/api/streams", "/api/streams.dot", "/api/schemes", "/api/log"),
    *("/api/webrtc", "/api/frame.mp4", "/api/stream.mp4", "/api/stream.ts", "/api/stream.aac"),
    *("/api/stream.m3u8", "/api/hls/playlist.m3u8", "/api/hls/init.mp4"),
    *("/api/hls/segment.ts", "/api/hls/segment.m4s"),
    *("/api/frame.jpeg", "/api/stream.mjpeg", "/api/stream.ascii", "/api/stream.y4m"),
)
"""Paths that its page and players need: not ``/api/config``, ``/api/restart`` and ``/api/exit``."""

MAX_SOCKET_BYTES = 107
"""``sun_path`` has 108, the last of them zero (unix(7))."""


def find(settings: Settings) -> Path | None:
    """Return the program: the configured one, else the one on ``PATH``; None without one."""
    found = shutil.which(settings.go2rtc.path or NAME)
    return Path(found).absolute() if found else None


def note(settings: Settings) -> str | None:
    """Return a sentence if go2rtc is enabled but can't be used."""
    cause = _obstacle(settings) if settings.go2rtc.enabled else None
    return NOTE.format(cause=cause) if cause else None


def is_used(settings: Settings) -> bool:
    """Tell whether go2rtc is enabled and can be used."""
    return settings.go2rtc.enabled and _obstacle(settings) is None


def address(settings: Settings) -> str:
    """Return the address of go2rtc's page on this machine."""
    return f"http://{settings.internal_authority(settings.ports.go2rtc)}"


def socket_path(settings: Settings) -> Path:
    """Return the Unix socket of its API, in this user's private folder.

    Raises:
        StartError: the folder can't be created, or is not private to this user.
    """
    folder = runtime_dir(settings.paths.runtime).absolute()
    return folder / f"{NAME}-{settings.ports.orchestrator}.sock"


def configuration(settings: Settings) -> dict[str, Any]:
    """Return its configuration (go2rtc's ``www/schema.json``)."""
    ports = settings.ports
    return {
        "app": {"modules": MODULES},
        "api": {
            "listen": "",
            "unix_listen": str(socket_path(settings)),
            "allow_paths": ("/", *API_PATHS),
            "origin": "",
        },
        "rtsp": {"listen": settings.internal_authority(ports.go2rtc_rtsp)},
        # Empty is off; unused here, and by default it listens on every address.
        "srtp": {"listen": ""},
        "webrtc": {
            "listen": settings.internal_authority(ports.go2rtc_media),
            "ice_servers": [],
            "filters": {"loopback": True},
        },
        "log": {"format": "text"},
        "streams": {
            PROGRAM: (
                f"http://{settings.internal_authority(ports.orchestrator)}/program.ts?wait=1"
            ),
        }
        | {
            # It asks once and waits: its page never asks again after a refusal.
            instance_id(index): f"{_worker_url(settings, index)}/stream.ts?wait=1"
            for index in range(settings.workers)
        },
    }


def _worker_url(settings: Settings, index: int) -> str:
    """Return the address of a worker on this machine, or of the way to one on a node."""
    if settings.nodes.count:
        head = settings.internal_authority(settings.ports.orchestrator)
        return f"http://{head}{WORKERS_PATH}/{instance_id(index)}"
    return f"http://{settings.internal_authority(settings.worker_port(index))}"


def child_specs(settings: Settings) -> list[ChildSpec]:
    """Return the process to keep running; empty if it isn't used."""
    program = find(settings)
    if program is None or not is_used(settings):
        return []
    # An argument that begins with a brace is the configuration itself, as YAML; JSON is valid YAML
    # (YAML 1.2, section 1.3).
    command = metabonk(
        *(NAME, PARENT, str(os.getpid()), "--program", str(program)),
        *("--config", json.dumps(configuration(settings), separators=(",", ":"))),
    )
    return [ChildSpec(NAME, lambda: command, settings.paths.logs / f"{NAME}.log", vital=False)]


def _obstacle(settings: Settings) -> str | None:
    """Return why go2rtc can't be used."""
    path = settings.go2rtc.path
    if find(settings) is None:
        return (
            f"METABONK_GO2RTC_PATH is {str(path)!r}, which is not a program"
            if path
            else f"there is no {NAME} on PATH; install it or set METABONK_GO2RTC_PATH"
        )
    socket = socket_path(settings)
    length = len(os.fsencode(socket))
    if length > MAX_SOCKET_BYTES:
        return (
            f"the path of its socket, {socket}, has {length} bytes; at most {MAX_SOCKET_BYTES} are "
            "possible; set METABONK_PATHS_RUNTIME to a folder with a shorter path"
        )
    return None
