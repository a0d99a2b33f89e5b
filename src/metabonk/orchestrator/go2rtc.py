"""go2rtc (github.com/AlexxIT/go2rtc) beside the fleet, for who has it: RTSP-like restreaming, HLS,
cameras' players, WebRTC by a program of its own.

It is given a stream for each worker, fed by the worker's MPEG-TS, and reads one only while somebody
watches it there; to the director that is a viewer of the worker. It has no knowledge of the access
token, and its own API can change its configuration: so it listens on loopback, whatever the page
does.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from metabonk.orchestrator.supervisor import ChildSpec
from metabonk.runs.layout import GO2RTC_FILE
from metabonk.settings import Settings
from metabonk.system.process_ids import PARENT

NAME = "go2rtc"

MISSING = (
    "go2rtc is not used: {where}; the built-in WebRTC serves instead "
    "(add ?transport=webrtc to a stream's address)"
)


def find(settings: Settings) -> Path | None:
    """The program: the one that is set, else the one on ``PATH``; None where there is none."""
    found = shutil.which(settings.go2rtc.bin or NAME)
    return Path(found).absolute() if found else None


def note(settings: Settings) -> str | None:
    """A sentence where it is wanted and missing."""
    if not settings.go2rtc.enabled or find(settings):
        return None
    named = settings.go2rtc.bin
    where = (
        f"METABONK_GO2RTC_BIN is {str(named)!r}, which is no program"
        if named
        else "no program of this name is on PATH, and METABONK_GO2RTC_BIN names none"
    )
    return MISSING.format(where=where)


def is_used(settings: Settings) -> bool:
    """Whether it is wanted and there."""
    return settings.go2rtc.enabled and find(settings) is not None


def address(settings: Settings) -> str:
    """Of its own page, on this machine."""
    return f"http://{settings.internal_authority(settings.ports.go2rtc)}"


def configuration(settings: Settings) -> dict[str, Any]:
    """What it is to do, by go2rtc's ``internal/{api,webrtc,http,streams}/README.md``."""
    return {
        "api": {"listen": settings.internal_authority(settings.ports.go2rtc)},
        # Empty is off; the fleet needs neither, and their default is every address.
        "rtsp": {"listen": ""},
        "srtp": {"listen": ""},
        "webrtc": {
            "listen": settings.internal_authority(settings.ports.go2rtc_media),
            "ice_servers": [],
            "filters": {"loopback": True},
        },
        "log": {"format": "text"},
        "streams": {
            f"omega-{index}": f"http://{settings.internal_authority(port)}/stream.ts"
            for index in range(settings.workers)
            for port in (settings.worker_port(index),)
        },
    }


def child(settings: Settings, run_dir: Path) -> ChildSpec | None:
    """The process to keep running, its configuration written; None where it isn't used."""
    program = find(settings) if settings.go2rtc.enabled else None
    if program is None:
        return None
    file = (run_dir / GO2RTC_FILE).absolute()
    # JSON is YAML (YAML 1.2, 1.3), and needs no library to be right.
    file.write_text(json.dumps(configuration(settings), indent=2) + "\n")
    command = (
        *(sys.executable, "-m", "metabonk.cli.main", NAME),
        *(PARENT, str(os.getpid())),
        *("--program", str(program), "--config", str(file)),
    )
    return ChildSpec(NAME, command, settings.paths.logs / f"{NAME}.log", vital=False)
