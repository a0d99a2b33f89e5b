"""Walking the ladder under leases, with encoders that refuse and break on command."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import AccessUnit, Frame
from metabonk.encoding.ladder import RUNGS, ProbeResult, Rung
from metabonk.encoding.probe import NotProbed
from metabonk.encoding.session import FIRST_REST_S, EncoderOpener, EncoderSession, OpenFailure
from metabonk.encoding.sessions import Holder, Pools
from metabonk.encoding.sessions.nvml import DriverSession, Gpu, GpuInventory, Nvml
from metabonk.errors import EncoderUnavailable

SETTINGS = EncoderSettings(640, 360, 30, 1_000_000, 2.0)
LARGER = EncoderSettings(1280, 720, 60, 2_000_000, 2.0)
SMALLER = EncoderSettings(320, 180, 15, 500_000, 2.0)
NVENC, SOFTWARE = "av:h264_nvenc", "av:libx264"
NOT_HERE = {
    rung.backend: "not on this machine" for rung in RUNGS if rung.backend not in (NVENC, SOFTWARE)
}
"""Two rungs, whatever the machine that runs the tests could do."""


def settings_on(rung: Rung) -> EncoderSettings:
    return LARGER if rung.hardware else SETTINGS


class Card(Nvml):
    """A consumer card with no sessions of other programs."""

    def census(self) -> GpuInventory:
        return GpuInventory((Gpu(0, "GPU-0", "GeForce", pynvml.NVML_BRAND_GEFORCE, "550.54"),))


class SharedCard(Card):
    """The same card, on which another program has sessions open besides ours."""

    def __init__(self) -> None:
        self.ours = self.others = 0

    def sessions(self, index: int) -> tuple[tuple[DriverSession, ...], int]:
        pids = [os.getpid()] * self.ours + [1] * self.others
        return tuple(DriverSession(pid, 640, 360, 30) for pid in pids), len(pids)


class NoCard(Nvml):
    def census(self) -> GpuInventory:
        return GpuInventory(unavailable="no NVIDIA driver on this machine")


class EveryoneWorks:
    """A prover to which every rung is proven, unless told otherwise."""

    def __init__(self) -> None:
        self.answers: dict[str, ProbeResult | NotProbed] = {}

    def known(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | None:
        answer = self.answers.get(rung.backend)
        return answer if isinstance(answer, ProbeResult) else None

    def prove(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | NotProbed:
        return self.answers.get(rung.backend, ProbeResult(works=True))


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
    """Everything an opener needs, with hands on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.now = 0.0
        self.refuse: dict[str, EncoderUnavailable] = {}
        self.prover = EveryoneWorks()
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
            self.prover,  # type: ignore[arg-type]
            worker="omega-0",
            gpu_index=0,
            allow_cpu_fallback=cpu_fallback,
            missing=NOT_HERE,
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
    pools = bench.pools(Card())
    pool = pools.nvenc(0)
    assert pool
    with caplog.at_level(logging.INFO):
        session = opened(bench.opener(pools).open(settings_on))
        assert session.rung.backend == NVENC
        (holder,) = pool.usage().holders
        assert (holder.worker, holder.session_open) == ("omega-0", True)
        session.close()
    assert pool.usage().used == 0
    assert session.encoder.closed  # type: ignore[attr-defined]
    assert "Acquired NVENC session slot=0" in caplog.text
    assert "Released NVENC session slot=0" in caplog.text
    assert "worker=omega-0" in caplog.text


def test_the_third_worker_on_two_sessions_is_told_who_has_them(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(Card())
    opener = bench.opener(pools)
    first, second = opened(opener.open(settings_on)), opened(opener.open(settings_on))
    with caplog.at_level(logging.INFO):
        missing = refused(opener.open(settings_on))
        opener.open(settings_on)
    assert missing.limit_reached
    assert "2 of 2" in missing.reason
    assert caplog.text.count("Session limit reached") == 1, "said once, not every half second"
    assert {first.lease.slot, second.lease.slot} == {0, 1}


def test_overflow_goes_to_software_only_where_that_is_allowed(bench: Bench):
    pools = bench.pools(Card(), nvenc=1)
    opener = bench.opener(pools, cpu_fallback=True)
    assert opened(opener.open(settings_on)).rung.backend == NVENC
    assert opened(opener.open(settings_on)).rung.backend == SOFTWARE
    missing = refused(opener.open(settings_on))
    assert [backend for backend, _ in missing.refusals] == [NVENC, SOFTWARE]
    assert missing.limit_reached


def test_from_software_it_climbs_back_when_hardware_is_free(bench: Bench):
    pools = bench.pools(Card(), nvenc=1)
    bench.prover.answers[NVENC] = ProbeResult(works=True)
    first = opened(bench.opener(pools, cpu_fallback=True).open(settings_on))
    opener = bench.opener(pools, cpu_fallback=True)
    software = opened(opener.open(settings_on))
    assert software.rung.backend == SOFTWARE
    assert opener.move(software, settings_on) is None
    first.close()
    better = opener.move(software, settings_on)
    assert better is not None and better.rung.backend == NVENC
    assert opener.move(better, settings_on) is None


def test_it_does_not_climb_to_what_is_not_proven(bench: Bench):
    pools = bench.pools(Card(), nvenc=1)
    opener = bench.opener(pools, cpu_fallback=True)
    bench.refuse[NVENC] = EncoderUnavailable("another cause", nvenc_code=None)
    software = opened(opener.open(settings_on))
    del bench.refuse[NVENC]
    bench.now += 60
    assert opener.move(software, settings_on) is None


def test_the_last_to_join_makes_room_for_another_program(bench: Bench):
    card = SharedCard()
    pools = bench.pools(card)
    for backend in (NVENC, SOFTWARE):
        bench.prover.answers[backend] = ProbeResult(works=True)
    opener = bench.opener(pools, cpu_fallback=True)
    first, last = opened(opener.open(settings_on)), opened(opener.open(settings_on))
    card.ours = 2
    assert opener.move(last, settings_on) is None
    card.others = 1
    assert opener.move(first, settings_on) is None
    successor = opener.move(last, settings_on)
    assert successor is not None and successor.rung.backend == SOFTWARE
    last.close()
    card.ours = 1
    assert opener.move(first, settings_on) is None


def test_where_there_is_nothing_to_move_to_it_stays_for_the_director_to_decide(bench: Bench):
    card = SharedCard()
    opener = bench.opener(bench.pools(card, nvenc=1))
    bench.prover.answers[SOFTWARE] = ProbeResult(works=True)
    only = opened(opener.open(settings_on))
    card.ours = card.others = 1
    assert opener.move(only, settings_on) is None


def test_without_a_gpu_software_is_the_ordinary_way(bench: Bench):
    session = opened(bench.opener(bench.pools(NoCard())).open(settings_on))
    assert session.rung.backend == SOFTWARE
    assert session.lease.pool == "cpu"


@pytest.mark.parametrize("code", [10, 21])
def test_a_refusal_at_the_limit_lowers_it_for_everybody(bench: Bench, code: int):
    pools = bench.pools(Card(), nvenc=5)
    opener = bench.opener(pools)
    opened(opener.open(settings_on))
    bench.refuse[NVENC] = EncoderUnavailable("OpenEncodeSessionEx failed", nvenc_code=code)
    assert refused(opener.open(settings_on)).limit_reached
    pool = bench.pools(Card(), nvenc=5).nvenc(0)
    assert pool
    assert (pool.usage().limit, pool.usage().used) == (1, 1)


def test_an_encoder_that_breaks_gives_its_lease_back_and_rests_twice_as_long_each_time(
    bench: Bench,
):
    pools = bench.pools(Card())
    pool = pools.nvenc(0)
    assert pool
    opener = bench.opener(pools)
    for count in range(4):
        opener.broke(opened(opener.open(settings_on)), "the driver was reset")
        assert pool.usage().used == 0
        missing = refused(opener.open(settings_on))
        assert not missing.limit_reached
        assert "the driver was reset; it is tried again at" in missing.reason
        bench.now += FIRST_REST_S * 2**count + 0.01
    session = opened(opener.open(settings_on))
    opener.worked(session)
    opener.broke(session, "again")
    bench.now += FIRST_REST_S + 0.01
    opened(opener.open(settings_on))


def test_an_encoder_that_broke_is_replaced_by_software_meanwhile(bench: Bench):
    opener = bench.opener(bench.pools(Card()), cpu_fallback=True)
    opener.broke(opened(opener.open(settings_on)), "the driver was reset")
    assert opened(opener.open(settings_on)).rung.backend == SOFTWARE


def test_a_gpu_without_an_encoder_lands_on_software_and_says_why(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    reason = "opening a session returned unsupported device (2)"
    pools = bench.pools(Card())

    def trial(rung: Rung, gpu: Gpu | None) -> ProbeResult:
        if rung.backend == NVENC:
            pools.learn_that_there_is_no_encoder(0)
            bench.prover.answers[NVENC] = ProbeResult(works=False, reason=reason)
            return ProbeResult(works=False, reason=reason)
        return ProbeResult(works=True)

    bench.prover.prove = trial  # type: ignore[method-assign]
    for opener in (bench.opener(pools), bench.opener(pools)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            session = opened(opener.open(settings_on))
        assert session.rung.backend == SOFTWARE
        assert reason in caplog.text
        session.close()


def test_where_a_trial_was_cut_short_after_it_learned_software_serves_all_the_same(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(Card())
    pools.learn_that_there_is_no_encoder(0)
    with caplog.at_level(logging.INFO):
        session = opened(bench.opener(pools).open(settings_on))
    assert session.rung.backend == SOFTWARE
    assert "it has no encoder" in caplog.text


def test_a_proof_that_found_no_free_session_is_the_limit_and_is_asked_again(bench: Bench):
    opener = bench.opener(bench.pools(Card()))
    bench.prover.answers[NVENC] = NotProbed("all 2 sessions are in use", at_limit=True)
    assert refused(opener.open(settings_on)).limit_reached
    del bench.prover.answers[NVENC]
    assert opened(opener.open(settings_on)).rung.backend == NVENC


def test_an_encoder_that_hangs_keeps_its_lease_and_rests(bench: Bench):
    pools = bench.pools(Card())
    pool = pools.nvenc(0)
    assert pool
    opener = bench.opener(pools)
    opener.hangs(opened(opener.open(settings_on)), "it does not answer")
    assert pool.usage().used == 1
    assert "it does not answer; it is tried again at" in refused(opener.open(settings_on)).reason
    bench.now += FIRST_REST_S + 0.01
    assert opened(opener.open(settings_on)).lease.slot == 1


def test_an_encoder_in_doubt_is_tried_again_when_the_doubt_is_over(bench: Bench):
    opener = bench.opener(bench.pools(Card()))
    bench.prover.answers[NVENC] = ProbeResult(works=False, reason="crashed while it was tried")
    assert "crashed" in refused(opener.open(settings_on)).reason
    del bench.prover.answers[NVENC]
    assert opened(opener.open(settings_on)).rung.backend == NVENC


def test_no_lease_is_kept_when_opening_raises_anything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    def explode(*_: object) -> None:
        raise RuntimeError("a bug")

    pools = bench.pools(Card())
    pool = pools.nvenc(0)
    assert pool
    monkeypatch.setattr("metabonk.encoding.session.make_encoder", explode)
    with pytest.raises(RuntimeError):
        bench.opener(pools).open(settings_on)
    assert pool.usage().used == 0


def test_each_rung_has_settings_of_its_own(bench: Bench):
    pools = bench.pools(Card(), nvenc=1)
    bench.prover.answers[NVENC] = ProbeResult(works=True)
    first = opened(bench.opener(pools).open(settings_on))
    opener = bench.opener(pools, cpu_fallback=True)
    software = opened(opener.open(settings_on))
    assert (first.settings, software.settings) == (LARGER, SETTINGS)
    first.close()
    better = opener.move(software, settings_on)
    assert better is not None
    assert better.settings == better.encoder.settings == LARGER  # type: ignore[attr-defined]


def test_a_session_goes_on_with_other_settings_under_the_lease_that_it_has(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(Card(), nvenc=1)
    pool = pools.nvenc(0)
    assert pool
    opener = bench.opener(pools)
    session = opened(opener.open(settings_on))
    before, lease = session.encoder, session.lease
    bench.on_make = lambda: held.extend(pool.usage().holders)
    held: list[Holder] = []
    with caplog.at_level(logging.INFO):
        assert opener.reopen(session, SMALLER) is None
    assert before.closed and not session.encoder.closed  # type: ignore[attr-defined]
    assert session.settings == session.encoder.settings == SMALLER  # type: ignore[attr-defined]
    assert session.lease is lease and lease.held
    assert [holder.session_open for holder in held] == [False], "closed before the next opens"
    assert [holder.session_open for holder in pool.usage().holders] == [True]
    assert caplog.text == "", "no session was acquired and none released"


@pytest.mark.parametrize(("code", "at_limit"), [(10, True), (None, False)])
def test_a_session_that_can_not_be_reopened_gives_its_lease_back_and_says_why(
    code: int | None, at_limit: bool, bench: Bench, caplog: pytest.LogCaptureFixture
):
    pools = bench.pools(Card())
    pool = pools.nvenc(0)
    assert pool
    opener = bench.opener(pools)
    session = opened(opener.open(settings_on))
    bench.refuse[NVENC] = EncoderUnavailable("no memory", nvenc_code=code)
    with caplog.at_level(logging.INFO):
        missing = opener.reopen(session, SMALLER)
    assert missing is not None and missing.limit_reached is at_limit
    assert "no memory" in missing.reason
    assert pool.usage().used == 0
    session.close()
    assert caplog.text.count("Released NVENC session slot=0") == 1
