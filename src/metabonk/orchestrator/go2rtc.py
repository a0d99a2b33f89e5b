"""go2rtc (github.com/AlexxIT/go2rtc) beside the fleet: restreaming over its own WebRTC and HLS.

It gets one stream per worker, fed by the worker's MPEG-TS, and reads a stream only while it has a
consumer; the director counts that as a viewer of the worker. go2rtc doesn't know the access token,
and its API can change its configuration, so it listens on loopback whatever the page does.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from metabonk.messages import instance_id
from metabonk.orchestrator.children import metabonk
from metabonk.orchestrator.supervisor import ChildSpec
from metabonk.runs.layout import GO2RTC_FILE
from metabonk.settings import Settings
from metabonk.system.process_ids import PARENT

NAME = "go2rtc"

NOTE = (
    "go2rtc is not used: {cause}; the built-in WebRTC serves instead "
    "(add ?transport=webrtc to a stream's address)"
)


def find(settings: Settings) -> Path | None:
    """Return the program: the configured one, else the one on ``PATH``; None without one."""
    found = shutil.which(settings.go2rtc.path or NAME)
    return Path(found).absolute() if found else None


def note(settings: Settings) -> str | None:
    """Return a sentence if go2rtc is enabled but missing."""
    if not settings.go2rtc.enabled or find(settings):
        return None
    path = settings.go2rtc.path
    cause = (
        f"METABONK_GO2RTC_PATH is {str(path)!r}, which is not a program"
        if path
        else f"there is no {NAME} on PATH; install it or set METABONK_GO2RTC_PATH"
    )
    return NOTE.format(cause=cause)


def is_used(settings: Settings) -> bool:
    """Tell whether go2rtc is enabled and installed."""
    return settings.go2rtc.enabled and find(settings) is not None


def address(settings: Settings) -> str:
    """Return the address of go2rtc's page on this machine."""
    return f"http://{settings.internal_authority(settings.ports.go2rtc)}"


def configuration(settings: Settings) -> dict[str, Any]:
    """Return its configuration (go2rtc's ``internal/{api,webrtc,http,streams}/README.md``)."""
    return {
        "api": {"listen": settings.internal_authority(settings.ports.go2rtc)},
        # Empty is off; unused here, and by default they listen on every address.
        "rtsp": {"listen": ""},
        "srtp": {"listen": ""},
        "webrtc": {
            "listen": settings.internal_authority(settings.ports.go2rtc_media),
            "ice_servers": [],
            "filters": {"loopback": True},
        },
        "log": {"format": "text"},
        "streams": {
            instance_id(index): (
                f"http://{settings.internal_authority(settings.worker_port(index))}/stream.ts"
            )
            for index in range(settings.workers)
        },
    }


def child_specs(settings: Settings, run_dir: Path) -> list[ChildSpec]:
    """Write the configuration and return the process to keep running; empty if it isn't used."""
    program = find(settings) if settings.go2rtc.enabled else None
    if program is None:
        return []
    file = (run_dir / GO2RTC_FILE).absolute()
    # JSON is valid YAML (YAML 1.2, section 1.3) and needs no library.
    file.write_text(json.dumps(configuration(settings), indent=2) + "\n")
    command = metabonk(
        *(NAME, PARENT, str(os.getpid())),
        *("--program", str(program), "--config", str(file)),
    )
    return [ChildSpec(NAME, lambda: command, settings.paths.logs / f"{NAME}.log", vital=False)]
