"""Opening encoders by walking the ladder, with encoders that refuse and break on demand."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.ladder import RUNGS, ProbeResult, Rung
from metabonk.encoding.probe import NotProbed
from metabonk.encoding.session import FIRST_BACK_OFF_S, EncoderOpener, EncoderSession, OpenFailure
from metabonk.encoding.sessions import Holder, Pools
from metabonk.encoding.sessions.nvml import DriverSession, Gpu, Nvml
from metabonk.encoding.sessions.slots import LOCK_TIMEOUT_S, SlotFolderError, locked
from metabonk.errors import EncoderUnavailable
from metabonk.frame import Frame
from tests.support.machines import FakeNvml

SETTINGS = EncoderSettings(640, 360, 30, 1_000_000, 2.0)
LARGER = EncoderSettings(1280, 720, 60, 2_000_000, 2.0)
SMALLER = EncoderSettings(320, 180, 15, 500_000, 2.0)
NVENC, SOFTWARE = "av:h264_nvenc", "av:libx264"
UNAVAILABLE = {
    rung.backend: "not on this machine" for rung in RUNGS if rung.backend not in (NVENC, SOFTWARE)
}
"""Leaves two rungs, whatever the machine that runs the tests can do."""


def settings_for(rung: Rung) -> EncoderSettings:
    return LARGER if rung.hardware else SETTINGS


CARD = Gpu(0, "GPU-0", "GeForce", pynvml.NVML_BRAND_GEFORCE, "550.54")


class SharedCard(FakeNvml):
    """A consumer card with sessions of another program beside ours."""

    def __init__(self) -> None:
        super().__init__(CARD)
        self.ours = self.others = 0

    def sessions(self, index: int) -> tuple[tuple[DriverSession, ...], int]:
        pids = [os.getpid()] * self.ours + [1] * self.others
        return tuple(DriverSession(pid, 640, 360, 30) for pid in pids), len(pids)


class FakeProbe:
    """A probe that finds every rung working, unless told otherwise.

    Attributes:
        results: by backend; those of probes that were cached.
    """

    def __init__(self) -> None:
        self.results: dict[str, ProbeResult | NotProbed] = {}

    def cached(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | None:
        result = self.results.get(rung.backend)
        return result if isinstance(result, ProbeResult) else None

    def probe(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | NotProbed:
        return self.results.get(rung.backend, ProbeResult(works=True))


class FakeEncoder:
    def __init__(self, backend: str, settings: EncoderSettings) -> None:
        self.backend = backend
        self.settings = settings
        self.closed = False

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        return [AccessUnit(b"", frame.captured_at, keyframe)]

    def close(self) -> None:
        self.closed = True


class Bench:
    """Everything an opener needs, under a test's control."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.now = 0.0
        self.refuse: dict[str, EncoderUnavailable] = {}
        self.probe = FakeProbe()
        self.on_make: Callable[[], object] = lambda: None
        monkeypatch.setattr("metabonk.encoding.session.make_encoder", self._make)

    def _make(self, backend: str, settings: EncoderSettings, gpu_index: int) -> FakeEncoder:
        self.on_make()
        if refusal := self.refuse.get(backend):
            raise refusal
        return FakeEncoder(backend, settings)

    def pools(self, nvml: Nvml, *, nvenc: int = 2, cpu: int = 1) -> Pools:
        return Pools(self.folder, nvenc_limit=nvenc, cpu_limit=cpu, nvml=nvml)

    def opener(self, pools: Pools, *, cpu_fallback: bool = False) -> EncoderOpener:
        return EncoderOpener(
            pools,
            self.probe,  # type: ignore[arg-type]
            worker="omega-0",
            gpu_index=0,
            allow_cpu_fallback=cpu_fallback,
            unavailable=UNAVAILABLE,
            clock=lambda: self.now,
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def opened(result: EncoderSession | OpenFailure) -> EncoderSession:
    assert isinstance(result, EncoderSession), result
    return result


def refused(result: EncoderSession | OpenFailure) -> OpenFailure:
    assert isinstance(result, OpenFailure), result
    return result


def test_the_best_rung_is_opened_and_its_lease_released_with_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(FakeNvml(CARD))
    pool = pools.nvenc(0)
    assert pool
    with caplog.at_level(logging.INFO):
        session = opened(bench.opener(pools).open(settings_for))
        assert session.rung.backend == NVENC
        (holder,) = pool.usage().holders
        assert (holder.worker, holder.session_open) == ("omega-0", True)
        session.close()
    assert pool.usage().used == 0
    assert session.encoder.closed  # type: ignore[attr-defined]
    assert "Acquired NVENC session slot=0" in caplog.text
    assert "Released NVENC session slot=0" in caplog.text
    assert "worker=omega-0" in caplog.text


def test_the_third_worker_on_two_sessions_learns_who_holds_them(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(FakeNvml(CARD))
    opener = bench.opener(pools)
    first, second = opened(opener.open(settings_for)), opened(opener.open(settings_for))
    with caplog.at_level(logging.INFO):
        failure = refused(opener.open(settings_for))
        opener.open(settings_for)
    assert failure.limit_reached
    assert "2 of 2" in failure.reason
    assert caplog.text.count("Session limit reached") == 1, "logged once, not at every attempt"
    assert {first.lease.slot, second.lease.slot} == {0, 1}


def test_overflow_goes_to_software_only_if_that_is_allowed(bench: Bench):
    pools = bench.pools(FakeNvml(CARD), nvenc=1)
    opener = bench.opener(pools, cpu_fallback=True)
    assert opened(opener.open(settings_for)).rung.backend == NVENC
    assert opened(opener.open(settings_for)).rung.backend == SOFTWARE
    failure = refused(opener.open(settings_for))
    assert [backend for backend, _ in failure.refusals] == [NVENC, SOFTWARE]
    assert failure.limit_reached


def test_a_software_stream_moves_up_when_hardware_is_free(bench: Bench):
    pools = bench.pools(FakeNvml(CARD), nvenc=1)
    bench.probe.results[NVENC] = ProbeResult(works=True)
    first = opened(bench.opener(pools, cpu_fallback=True).open(settings_for))
    opener = bench.opener(pools, cpu_fallback=True)
    software = opened(opener.open(settings_for))
    assert software.rung.backend == SOFTWARE
    assert opener.move(software, settings_for) is None
    first.close()
    better = opener.move(software, settings_for)
    assert better is not None and better.rung.backend == NVENC
    assert opener.move(better, settings_for) is None


def test_a_stream_does_not_move_up_to_a_rung_that_was_never_probed(bench: Bench):
    pools = bench.pools(FakeNvml(CARD), nvenc=1)
    opener = bench.opener(pools, cpu_fallback=True)
    bench.refuse[NVENC] = EncoderUnavailable("another cause", nvenc_code=None)
    software = opened(opener.open(settings_for))
    del bench.refuse[NVENC]
    bench.now += 60
    assert opener.move(software, settings_for) is None


def test_the_last_session_to_join_makes_room_for_another_program(bench: Bench):
    card = SharedCard()
    pools = bench.pools(card)
    for backend in (NVENC, SOFTWARE):
        bench.probe.results[backend] = ProbeResult(works=True)
    opener = bench.opener(pools, cpu_fallback=True)
    first, last = opened(opener.open(settings_for)), opened(opener.open(settings_for))
    card.ours = 2
    assert opener.move(last, settings_for) is None
    card.others = 1
    assert opener.move(first, settings_for) is None
    successor = opener.move(last, settings_for)
    assert successor is not None and successor.rung.backend == SOFTWARE
    last.close()
    card.ours = 1
    assert opener.move(first, settings_for) is None


def test_with_nothing_to_move_to_the_session_stays_for_the_director_to_decide(bench: Bench):
    card = SharedCard()
    opener = bench.opener(bench.pools(card, nvenc=1))
    bench.probe.results[SOFTWARE] = ProbeResult(works=True)
    only = opened(opener.open(settings_for))
    card.ours = card.others = 1
    assert opener.move(only, settings_for) is None


def test_without_a_gpu_software_is_used(bench: Bench):
    pools = bench.pools(FakeNvml(unavailable="no NVIDIA driver on this machine"))
    session = opened(bench.opener(pools).open(settings_for))
    assert session.rung.backend == SOFTWARE
    assert session.lease.pool == "cpu"


@pytest.mark.parametrize("code", [10, 21])
def test_a_refusal_at_the_limit_lowers_it_for_every_process(bench: Bench, code: int):
    pools = bench.pools(FakeNvml(CARD), nvenc=5)
    opener = bench.opener(pools)
    opened(opener.open(settings_for))
    bench.refuse[NVENC] = EncoderUnavailable("OpenEncodeSessionEx failed", nvenc_code=code)
    assert refused(opener.open(settings_for)).limit_reached
    pool = bench.pools(FakeNvml(CARD), nvenc=5).nvenc(0)
    assert pool
    assert (pool.usage().limit, pool.usage().used) == (1, 1)


def test_a_refusal_for_lack_of_memory_lowers_no_limit_and_says_so(bench: Bench):
    card = FakeNvml(CARD)
    card.free = 90 << 20
    pools = bench.pools(card, nvenc=5)
    opener = bench.opener(pools)
    opened(opener.open(settings_for))
    bench.refuse[NVENC] = EncoderUnavailable("out of memory (10)", nvenc_code=10)
    failure = refused(opener.open(settings_for))
    assert not failure.limit_reached, "other workers' sessions are not the obstacle"
    assert "out of memory (10); only 90 MB of the GPU's memory are free" in failure.reason
    assert "next attempt at" in refused(opener.open(settings_for)).reason
    pool = pools.nvenc(0)
    assert pool
    assert (pool.usage().limit, pool.usage().used) == (5, 1)


def test_a_live_stream_does_not_wait_for_a_stuck_process(bench: Bench):
    pools = bench.pools(FakeNvml(CARD), nvenc=1)
    bench.probe.results[NVENC] = ProbeResult(works=True)
    first = opened(bench.opener(pools, cpu_fallback=True).open(settings_for))
    opener = bench.opener(pools, cpu_fallback=True)
    software = opened(opener.open(settings_for))
    first.close()
    with locked(bench.folder / "nvenc-gpu0" / "pool.lock"):
        began = time.monotonic()
        with pytest.raises(SlotFolderError, match="appears stuck"):
            opener.move(software, settings_for)
        assert time.monotonic() - began < LOCK_TIMEOUT_S
    with locked(bench.folder / "cpu" / "pool.lock"):
        assert opener.move(software, settings_for) is not None


def test_a_full_disk_ends_no_stream(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    bench.on_make = lambda: monkeypatch.setattr("metabonk.encoding.sessions.lease.os.pwrite", full)
    session = opened(bench.opener(bench.pools(FakeNvml(CARD))).open(settings_for))
    assert session.lease.held


def test_a_broken_encoder_releases_its_lease_and_backs_off_twice_as_long_each_time(
    bench: Bench,
):
    pools = bench.pools(FakeNvml(CARD))
    pool = pools.nvenc(0)
    assert pool
    opener = bench.opener(pools)
    for count in range(4):
        opener.mark_broken(opened(opener.open(settings_for)), "the driver was reset")
        assert pool.usage().used == 0
        failure = refused(opener.open(settings_for))
        assert not failure.limit_reached
        assert "the driver was reset; next attempt at" in failure.reason
        bench.now += FIRST_BACK_OFF_S * 2**count + 0.01
    session = opened(opener.open(settings_for))
    opener.mark_healthy(session)
    opener.mark_broken(session, "again")
    bench.now += FIRST_BACK_OFF_S + 0.01
    opened(opener.open(settings_for))


def test_software_replaces_a_broken_encoder_while_it_backs_off(bench: Bench):
    opener = bench.opener(bench.pools(FakeNvml(CARD)), cpu_fallback=True)
    opener.mark_broken(opened(opener.open(settings_for)), "the driver was reset")
    assert opened(opener.open(settings_for)).rung.backend == SOFTWARE


def test_a_gpu_without_an_encoder_falls_back_to_software_and_logs_why(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    reason = "opening a session returned unsupported device (2)"
    pools = bench.pools(FakeNvml(CARD))

    def probe(rung: Rung, gpu: Gpu | None) -> ProbeResult:
        if rung.backend == NVENC:
            pools.mark_no_encoder(0)
            bench.probe.results[NVENC] = ProbeResult(works=False, reason=reason)
            return ProbeResult(works=False, reason=reason)
        return ProbeResult(works=True)

    bench.probe.probe = probe  # type: ignore[method-assign]
    for opener in (bench.opener(pools), bench.opener(pools)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            session = opened(opener.open(settings_for))
        assert session.rung.backend == SOFTWARE
        assert reason in caplog.text
        session.close()


def test_software_is_used_if_a_probe_ended_right_after_finding_no_encoder(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(FakeNvml(CARD))
    pools.mark_no_encoder(0)
    with caplog.at_level(logging.INFO):
        session = opened(bench.opener(pools).open(settings_for))
    assert session.rung.backend == SOFTWARE
    assert "has no NVENC encoder" in caplog.text


def test_a_probe_without_a_free_session_counts_as_the_limit_and_is_repeated(bench: Bench):
    opener = bench.opener(bench.pools(FakeNvml(CARD)))
    bench.probe.results[NVENC] = NotProbed("all 2 sessions are in use", at_limit=True)
    assert refused(opener.open(settings_for)).limit_reached
    del bench.probe.results[NVENC]
    assert opened(opener.open(settings_for)).rung.backend == NVENC


def test_a_hung_encoder_keeps_its_lease_and_backs_off(bench: Bench):
    pools = bench.pools(FakeNvml(CARD))
    pool = pools.nvenc(0)
    assert pool
    opener = bench.opener(pools)
    opener.mark_hung(opened(opener.open(settings_for)), "it does not answer")
    assert pool.usage().used == 1
    assert "it does not answer; next attempt at" in refused(opener.open(settings_for)).reason
    bench.now += FIRST_BACK_OFF_S + 0.01
    assert opened(opener.open(settings_for)).lease.slot == 1


def test_a_quarantined_encoder_is_used_again_after_its_quarantine(bench: Bench):
    opener = bench.opener(bench.pools(FakeNvml(CARD)))
    bench.probe.results[NVENC] = ProbeResult(works=False, reason="its probe crashed")
    assert "crashed" in refused(opener.open(settings_for)).reason
    del bench.probe.results[NVENC]
    assert opened(opener.open(settings_for)).rung.backend == NVENC


def test_no_lease_is_kept_if_opening_raises_anything(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def explode(*_: object) -> None:
        raise RuntimeError("a bug")

    pools = bench.pools(FakeNvml(CARD))
    pool = pools.nvenc(0)
    assert pool
    monkeypatch.setattr("metabonk.encoding.session.make_encoder", explode)
    with pytest.raises(RuntimeError):
        bench.opener(pools).open(settings_for)
    assert pool.usage().used == 0


def test_each_rung_has_its_own_settings(bench: Bench):
    pools = bench.pools(FakeNvml(CARD), nvenc=1)
    bench.probe.results[NVENC] = ProbeResult(works=True)
    first = opened(bench.opener(pools).open(settings_for))
    opener = bench.opener(pools, cpu_fallback=True)
    software = opened(opener.open(settings_for))
    assert (first.settings, software.settings) == (LARGER, SETTINGS)
    first.close()
    better = opener.move(software, settings_for)
    assert better is not None
    assert better.settings == better.encoder.settings == LARGER  # type: ignore[attr-defined]


def test_a_session_is_reopened_with_other_settings_under_the_same_lease(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(FakeNvml(CARD), nvenc=1)
    pool = pools.nvenc(0)
    assert pool
    opener = bench.opener(pools)
    session = opened(opener.open(settings_for))
    before, lease = session.encoder, session.lease
    bench.on_make = lambda: held.extend(pool.usage().holders)
    held: list[Holder] = []
    with caplog.at_level(logging.INFO):
        assert opener.reopen(session, SMALLER) is None
    assert before.closed and not session.encoder.closed  # type: ignore[attr-defined]
    assert session.settings == session.encoder.settings == SMALLER  # type: ignore[attr-defined]
    assert session.lease is lease and lease.held
    assert [holder.session_open for holder in held] == [False], "closed before the next one opens"
    assert [holder.session_open for holder in pool.usage().holders] == [True]
    assert caplog.text == "", "no session was acquired or released"


@pytest.mark.parametrize(("code", "at_limit"), [(10, True), (None, False)])
def test_a_session_that_cannot_be_reopened_releases_its_lease_and_returns_the_reason(
    code: int | None, at_limit: bool, bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(FakeNvml(CARD))
    pool = pools.nvenc(0)
    assert pool
    opener = bench.opener(pools)
    session = opened(opener.open(settings_for))
    bench.refuse[NVENC] = EncoderUnavailable("no memory", nvenc_code=code)
    with caplog.at_level(logging.INFO):
        failure = opener.reopen(session, SMALLER)
    assert failure is not None and failure.limit_reached is at_limit
    assert "no memory" in failure.reason
    assert pool.usage().used == 0
    session.close()
    assert caplog.text.count("Released NVENC session slot=0") == 1
