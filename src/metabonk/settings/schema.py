"""Every setting, with its type, bounds, default and meaning.

A setting ``section.name`` is ``[section] name = …`` in a TOML file and ``METABONK_SECTION_NAME`` in
the environment. ``metabonk.example.toml`` shows all of them; a test compares it with this file.
"""

import ipaddress
import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from metabonk.messages.workers import Mode
from metabonk.settings.air import Air
from metabonk.settings.alerts import Alerts
from metabonk.settings.embed import Embed
from metabonk.settings.hub import Hub
from metabonk.settings.learning import Learning
from metabonk.settings.nodes import Nodes
from metabonk.settings.programs import Go2rtc, Tracking
from metabonk.settings.public_url import PublicUrl, url_host
from metabonk.settings.section import Section, split
from metabonk.system.cgroup import cpu_quota

LOOPBACK = "127.0.0.1"
LOOPBACK_HOSTS = (LOOPBACK, "localhost", "::1")


class Ports(Section):
    """Ports that the processes listen on."""

    orchestrator: int = Field(8040, ge=1, le=65535, description="the API")
    page: int = Field(5173, ge=1, le=65535, description="the web page, and everything it needs")
    learner: int = Field(8061, ge=1, le=65535, description="rollouts in, weights out")
    go2rtc: int = Field(1984, ge=1, le=65535, description="go2rtc's page and API, with --go2rtc")
    go2rtc_rtsp: int = Field(8554, ge=1, le=65535, description="go2rtc's RTSP")
    go2rtc_media: int = Field(8555, ge=1, le=65535, description="go2rtc's WebRTC, TCP and UDP")
    worker: int = Field(5000, ge=1, le=65000, description="worker i listens on this port plus i")


class Worker(Section):
    """Worker processes: how many games they play, and how they are started and restarted."""

    games_per_worker: int = Field(
        0,
        ge=0,
        le=64,
        description="games a worker plays at once; 0: Doom by cores and workers, Gymnasium by the "
        "duration of a step",
    )
    inference: Literal["auto", "own", "shared"] = Field(
        "auto",
        description="who decides in games that nobody watches. own: each worker; shared: a process "
        "for all workers of a GPU, or one for all where there is none; auto: shared where PyTorch "
        "can use a GPU",
    )
    wait_for_learner: bool = Field(
        True, description="pause unwatched games while the learner is behind"
    )
    spawn_stagger_s: float | None = Field(
        None, ge=0, le=60, description="seconds between two worker starts; default: by cores"
    )
    restart_backoff_max_s: float = Field(
        10.0, gt=0, le=600, description="longest pause before a dead worker is restarted, seconds"
    )

    @property
    def effective_spawn_stagger_s(self) -> float:
        """Seconds between two worker starts; by default 1 on up to four cores, else 0.25.

        Importing PyTorch keeps a core busy for two to three seconds: on a small machine the
        stagger gives the first worker, and so the first frame, most of it.
        """
        if self.spawn_stagger_s is not None:
            return self.spawn_stagger_s
        return 1.0 if available_cores() <= 4 else 0.25


class Stream(Section):
    """The video that viewers see."""

    enabled: bool = Field(True, description="false: every worker trains and none is shown")
    width: int | None = Field(
        None, ge=128, le=3840, multiple_of=2, description="pixels; default: by encoder"
    )
    height: int | None = Field(
        None, ge=72, le=2160, multiple_of=2, description="pixels; default: by encoder"
    )
    fps: int = Field(
        0, ge=0, le=120, description="frames per second; 0: 30 on up to four cores, 60 on more"
    )
    bitrate_kbps: int | None = Field(
        None, ge=100, le=100_000, description="target, kbit/s; default: by encoder"
    )
    adaptive: bool = Field(
        True,
        description="lower the quality when the machine can't keep up, instead of dropping frames",
    )
    keyframe_interval_s: float = Field(
        2.0, gt=0, le=30, description="longest time between keyframes, seconds"
    )
    engine: Literal["any", "av", "gst"] = Field(
        "any", description="any: the best encoder that works; av: FFmpeg only; gst: GStreamer only"
    )
    allow_cpu_fallback: bool = Field(
        False, description="encode in software when all NVENC sessions are in use"
    )

    def effective_size(self, *, hardware: bool) -> tuple[int, int]:
        """Return width and height, pixels; by default 1920×1080 in hardware, 1280×720 in software.

        Games are drawn at 1280×720: a larger stream would cost cores and show no more. If only one
        of the two is set, the other follows from 16:9.
        """
        if self.width is not None:
            return self.width, self.height or 2 * round(self.width * 9 / 32)
        if self.height is not None:
            return 2 * round(self.height * 8 / 9), self.height
        return (1920, 1080) if hardware else (1280, 720)

    def effective_bitrate(self, *, hardware: bool) -> int:
        """Return the target, bit/s; by default 8 Mbit/s in hardware, 4 Mbit/s in software."""
        return 1000 * (self.bitrate_kbps or (8000 if hardware else 4000))

    @property
    def effective_fps(self) -> int:
        """Frames per second, with 0 resolved by the number of cores.

        Hardware encoders don't change it: drawing a frame takes a core 8 ms (ViZDoom, 1280×720).
        """
        return self.fps or (30 if available_cores() <= 4 else 60)


class Nvenc(Section):
    """NVIDIA encoder sessions."""

    max_sessions: int = Field(
        0, ge=0, le=1024, description="sessions per GPU; 0: detect the driver's limit"
    )
    slot_dir: Path | None = Field(
        None, description="folder of the slot files; default: in the user's runtime directory"
    )


class Nvml(Section):
    """NVIDIA's management library (NVML)."""

    gpu_index: int = Field(0, ge=0, le=63, description="GPU that status commands report on")


class Cpu(Section):
    """Software encoders."""

    max_sessions: int = Field(
        0, ge=0, le=1024, description="sessions per host; 0: one for every two cores"
    )

    @property
    def effective_max_sessions(self) -> int:
        """Software sessions per host, with 0 resolved: half the cores, at least one.

        One libx264 stream at 1280×720 and its game fill about one core (docs/benchmarks.md);
        learning needs the rest.
        """
        return self.max_sessions or max(1, available_cores() // 2)


class Featured(Section):
    """Rotation of the workers that are shown when there are more workers than sessions."""

    rotate_s: float = Field(60.0, ge=5, le=86_400, description="seconds a worker stays featured")


class Replays(Section):
    """Episodes drawn again from their logs."""

    keep_mb: int = Field(
        512,
        ge=0,
        le=1_000_000,
        description="MB of episode logs in a run: the best, the worst, the newest and a sample of "
        "the others stay; 0: none",
    )
    renderers: int = Field(1, ge=1, le=64, description="replays drawn at once")


class Paths(Section):
    """Folders, relative to the working directory."""

    logs: Path = Field(Path("logs"), description="one log per process")
    runs: Path = Field(
        Path("runs"), description="one folder per run: checkpoints, episodes, settings"
    )
    runtime: Path | None = Field(
        None, description="lock files of running fleets; default: in the user's runtime directory"
    )


class Settings(Section):
    """The whole configuration of a fleet."""

    mode: Mode = Field(
        Mode.TRAIN, description="train; or play: the newest checkpoint plays and nothing learns"
    )
    game: str = Field(
        "doom:defend_the_center",
        description="doom:<name>, gym:<id>, desktop:<name> or retro:<game>",
    )
    workers: int = Field(2, ge=0, le=256, description="number of workers")
    host: str = Field(
        "127.0.0.1", description="address of the page; beyond loopback viewers need a token"
    )
    public_url: PublicUrl | None = Field(
        None,
        description="address under which a proxy serves the page, such as "
        "https://example.org/metabonk; unless it is localhost, viewers need a token",
    )
    access_token: SecretStr | None = Field(
        None,
        min_length=16,
        exclude=True,
        description="token for viewers beyond loopback; default: a new one for each start",
    )
    stream_profile: str = Field(
        "local", description="a profile shipped or in ./profiles, or the path of a TOML file"
    )
    gpus: tuple[int, ...] | None = Field(
        None, description="GPUs to use, by nvidia-smi's index; unset: all; the first one learns"
    )

    ports: Ports = Ports()
    worker: Worker = Worker()
    stream: Stream = Stream()
    nvenc: Nvenc = Nvenc()
    nvml: Nvml = Nvml()
    cpu: Cpu = Cpu()
    featured: Featured = Featured()
    hub: Hub = Hub()
    nodes: Nodes = Nodes()
    go2rtc: Go2rtc = Go2rtc()
    air: Air = Air()
    embed: Embed = Embed()
    alerts: Alerts = Alerts()
    replays: Replays = Replays()
    learning: Learning = Learning()
    tracking: Tracking = Tracking()
    paths: Paths = Paths()

    @field_validator("gpus", mode="before")
    @classmethod
    def _parse_gpus(cls, given: object) -> object:
        if given is None:
            return None
        words = split(given)
        try:
            gpus = tuple(int(word) for word in words) if isinstance(words, list | tuple) else ()
        except (TypeError, ValueError):
            gpus = ()
        if not gpus or min(gpus) < 0 or len(set(gpus)) < len(gpus):
            raise ValueError(
                "must be distinct GPU indices as nvidia-smi counts them, such as 0,2; "
                "CUDA_VISIBLE_DEVICES= hides every GPU"
            )
        return gpus

    @field_validator("host")
    @classmethod
    def _check_address(cls, host: str) -> str:
        try:
            return host if host == "localhost" else str(ipaddress.ip_address(host))
        except ValueError:
            raise ValueError(
                "must be an IP address of this machine, such as 192.168.1.5; 0.0.0.0 for all"
            ) from None

    @property
    def is_remote(self) -> bool:
        """True where the page is served beyond this machine and so needs the access token."""
        hosts = [self.host, *([urlsplit(self.public_url).hostname] if self.public_url else [])]
        return any(host not in LOOPBACK_HOSTS for host in hosts)

    @property
    def internal_host(self) -> str:
        """Address that everything but the page listens on: never beyond this machine."""
        return LOOPBACK if self.is_remote else self.host

    @property
    def media_addresses(self) -> list[str] | None:
        """Addresses for WebRTC's packets; None: every address of this machine."""
        if self.host in ("0.0.0.0", "::"):
            return None
        return [LOOPBACK if self.host == "localhost" else self.host]

    def internal_authority(self, port: int) -> str:
        """Return ``internal_host`` and a port as in a URL."""
        return f"{url_host(self.internal_host)}:{port}"

    def worker_port(self, index: int) -> int:
        """Return the port of worker ``index``."""
        return self.ports.worker + index


def available_cores() -> int:
    """Return the number of CPU cores this process may use, within the quota of its container."""
    cores, quota = len(os.sched_getaffinity(0)), cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))
