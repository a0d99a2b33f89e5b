"""The process that puts the program on air."""

import logging
import os
import threading

import httpx

from metabonk.air.target import KeyMask, Target, read_key
from metabonk.air.transmitter import Transmitter
from metabonk.errors import SettingsError
from metabonk.settings import Settings
from metabonk.settings.environment import air_key
from metabonk.streaming.webrtc import restrict_ice_addresses
from metabonk.system.periodic_thread import PeriodicThread
from metabonk.system.process import SERVING_NICE, StopSignal, lower_priority

log = logging.getLogger(__name__)

REPORT_S = 1.0
CLOSE_TIMEOUT_S = 1.0
"""For a proper end; the server may not take it."""


def run(settings: Settings) -> None:
    """Keep the program on air until SIGTERM.

    Raises:
        SettingsError: nothing says where to, or the key can't be read.
    """
    stop = StopSignal()
    stop.watch_threads()
    lower_priority(SERVING_NICE)
    air = settings.air
    if air.to is None:
        raise SettingsError("air.to says nowhere to go on air to")
    target = Target.of(air.to, read_key(air.key_file) if air.key_file else air_key())
    mask = KeyMask(target.key)
    for handler in logging.getLogger().handlers:
        handler.addFilter(mask)
    # Servers are elsewhere, whatever the page listens on.
    restrict_ice_addresses(None)
    orchestrator = settings.internal_authority(settings.ports.orchestrator)
    transmitter = Transmitter(f"ws://{orchestrator}/program/stream", target, mask, os.getpid())
    client = httpx.Client(timeout=REPORT_S, trust_env=False)

    def report() -> None:
        try:
            client.post(
                f"http://{orchestrator}/api/air/report",
                content=transmitter.report().model_dump_json(),
                headers={"Content-Type": "application/json"},
            ).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("the orchestrator does not answer (%s)", error or type(error).__name__)

    reporter = PeriodicThread(report, REPORT_S, name="report", at_end=client.close)
    # A thread, since a server may keep it for as long as it likes.
    sending = threading.Thread(target=transmitter.run, name="transmit", daemon=True)
    log.info("sends the program to %s (pid %d)", air.to, os.getpid())
    reporter.start()
    sending.start()
    stop.wait()
    transmitter.stop()
    sending.join(CLOSE_TIMEOUT_S)
    reporter.close(0.0)
    stop.raise_failure()
    log.info("stops")
