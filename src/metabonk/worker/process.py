"""The worker process: composes a game, a policy and a stream, and plays until it is stopped."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import torch

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.errors import CheckpointError, GameError, GameStartError
from metabonk.games import Purpose, action_seed, episode_seeds, make_game
from metabonk.games.preprocessing import ObservationFn, observe
from metabonk.games.remote import GameProcess, RemoteGame
from metabonk.messages.workers import Counters, Mode
from metabonk.policy import Actor, DeviceObserver, PolicySpec, RolloutBuilder
from metabonk.policy.defaults import with_defaults
from metabonk.policy.env_runner import EnvRunner
from metabonk.policy.episode_log import EpisodeSetup
from metabonk.policy.episode_recorder import EpisodeRecorder
from metabonk.runs.checkpoints import newest_weights
from metabonk.runs.starts import count_start
from metabonk.settings import Settings
from metabonk.settings.schema import available_cores
from metabonk.system import peers
from metabonk.system.process import StopSignal
from metabonk.worker.env_pool import EnvPool, call_on, measure_step_s
from metabonk.worker.highlights import Highlights
from metabonk.worker.identity import Identity
from metabonk.worker.learner_client import LearnerClient
from metabonk.worker.pipelined_sampler import PARTS
from metabonk.worker.play import MAX_CONCURRENT_STEPS_LIVE, PlayLoop
from metabonk.worker.progress import Progress
from metabonk.worker.saliency import SaliencyThread
from metabonk.worker.scheduling import MAX_GAMES, game_processes, games_per_worker, make_schedule
from metabonk.worker.shared_inference import SharedInference
from metabonk.worker.status import SourceStatus
from metabonk.worker.stream import WorkerStream

log = logging.getLogger(__name__)

FIRST_DESIRED_S = 1.0
"""Wait for the first heartbeat's reply: a game started at the size it is shown at need not be
started twice. The orchestrator is up long before any worker."""


SHOWN_WEIGHTS_S = 1.0
"""Greatest age of a shown game's weights where an inference server decides in all others."""


class Worker:
    """One worker of a fleet.

    Args:
        settings: of the fleet.
        settings_file: they were read from.
        index: of the worker; its port is ``ports.worker + index``.
        run_dir: folder of the run, with its checkpoints.
        counters: of the worker's earlier processes in this run.
        inference: number of the inference server of its GPU; None without one.

    Attributes:
        stream: shows the first game.
        game: the first one, which is shown.
        actor: the policy.
        inference: decides in games that nobody watches; None: the actor's network does.
        learner: client of the learner; None in play mode.
        saliency: thread that computes saliency maps.
        highlights: thread that keeps the best live episode.
        pool: all games.
        progress: steps and episodes.
        play: the play threads' work.

    Raises:
        MetaBonkError: the game, the checkpoint or the slot directory can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        settings_file: Path,
        index: int,
        run_dir: Path,
        counters: Counters,
        *,
        inference: int | None = None,
    ) -> None:
        self._settings = settings
        self._index = index
        self._start = count_start(run_dir, index)
        cores = available_cores()
        with contextlib.ExitStack() as owned:
            self.stream = WorkerStream(settings, settings_file, Identity.of_worker(settings, index))
            device = policy_device(self.stream.gpu)
            observe_frame: ObservationFn = observe
            if device is not None:
                observer = DeviceObserver(device, lambda: self.stream.accepts_cuda_frames)
                observe_frame = observer.observe
            first_thread = ThreadPoolExecutor(1, "game")
            owned.callback(first_thread.shutdown)
            self.game = call_on(
                first_thread,
                make_game,
                settings.game,
                settings.learning,
                observation_fn=observe_frame,
            )
            owned.callback(call_on, first_thread, self.game.close)
            seed = action_seed(
                settings.learning.seed, Purpose.TRAINING, worker=index, start=self._start
            )
            spec = PolicySpec.of(self.game, settings.learning)
            schedule = make_schedule(settings, cores)
            lanes = PARTS * max(schedule.concurrent_steps, MAX_CONCURRENT_STEPS_LIVE)
            self.inference = self._share_inference(inference, spec, device, lanes)
            if self.inference is not None:
                # The shown game waits for no GPU that others use, and the GPU for fewer processes.
                device = torch.device("cpu")
            self.actor = Actor(spec, seed=seed, device=device)
            step_s = self._measure_step(first_thread)
            games = games_per_worker(
                settings, cores, step_s, shares_inference=self.inference is not None
            )
            processes = 0 if step_s is None else game_processes(settings, cores, step_s)
            self.learner = self._make_learner(games)
            # A resumed run's learner takes its time to start, and nobody plays untrained meanwhile.
            if (weights := newest_weights(run_dir)) is not None:
                self.actor.load(weights)
            elif self.learner is None:
                raise CheckpointError(f"{run_dir} holds no checkpoint to play; train first")
            self.saliency = SaliencyThread(self.actor, self.stream.hub)
            self.highlights = Highlights(run_dir, self.stream.hub)
            first = EnvRunner(
                self.game,
                0,
                self._make_builder(),
                seeds=self._episode_seeds(0),
                on_reset=self._on_first_reset,
                on_life_lost=lambda: self.actor.reset_state(0),
                recorder=self._make_recorder(),
            )
            self.pool = EnvPool(first, first_thread, self._open_runner, games, processes)
            owned.callback(self.pool.close)
            self.progress = Progress(index, counters)
            self.play = PlayLoop(
                self.pool,
                self.actor,
                self.stream,
                self.progress,
                schedule,
                learner=self.learner,
                inference=self.inference,
                saliency=self.saliency,
                highlights=self.highlights,
            )
            self._owned = owned.pop_all()

    def start(self) -> None:
        """Start serving, and every thread but those that play.

        Raises:
            StartError: the port can't be used.
        """
        self._owned.callback(self.stream.close)
        self.stream.start(self.status, self.game.action_names)
        for part in (self.learner, self.inference, self.saliency, self.highlights):
            if part is not None:
                self._owned.callback(part.close)
                part.start()
        gpu = self.stream.gpu
        where = f", on GPU {gpu.index} ({gpu.name})" if gpu else ""
        port = self._settings.worker_port(self._index)
        log.info(
            "plays %s, %d at once, on port %d%s",
            self._settings.game,
            self.pool.count,
            port,
            where,
        )

    def run(self, stopped: Callable[[], bool]) -> None:
        """Play on the calling thread until ``stopped``.

        Raises:
            GameError: a game broke.
        """
        self.stream.wait_for_desired(FIRST_DESIRED_S)
        self.play.run(stopped)

    def close(self) -> None:
        """End every thread and every game, and release the encoder session."""
        self._owned.close()

    def status(self) -> SourceStatus:
        """Return the game's and the policy's share of the status; thread-safe."""
        shape = self.game.observation_shape
        height, width = shape[:2] if len(shape) > 1 else (1, *shape)
        return SourceStatus(
            source_size=self.game.source_size,
            observation_size=(width, height),
            counters=self.progress.counters(),
            steps_per_s=self.progress.steps_per_s(),
            episode_return=self.progress.episode_return,
            policy_version=self.play.policy_version,
            turns=self.play.turns.of_running(),
        )

    def _measure_step(self, first_thread: Executor) -> float | None:
        """Return the duration of a step, seconds; None for engines, and where nothing learns."""
        if not self.game.description.in_process or self._settings.mode is Mode.PLAY:
            return None
        return call_on(first_thread, measure_step_s, self.game, self.actor)

    def _make_learner(self, games: int) -> LearnerClient | None:
        if self._settings.mode is Mode.PLAY:
            return None
        learner = self._settings.internal_authority(self._settings.ports.learner)
        return LearnerClient(
            f"http://{learner}", self.actor.load, games=games, pause_s=self._weights_pause_s
        )

    def _weights_pause_s(self) -> float:
        """Return how long weights do: the shown game's, a moment, where all others have theirs."""
        shared = self.inference is not None and self.inference.is_connected
        return SHOWN_WEIGHTS_S if shared else 0.0

    def _share_inference(
        self, number: int | None, spec: PolicySpec, device: torch.device | None, lanes: int
    ) -> SharedInference | None:
        wanted = self._settings.worker.inference
        if number is None or (wanted == "auto" and device is None):
            return None
        name = peers.inference_server_name(self._settings.ports.learner, number)
        return SharedInference(name, spec, MAX_GAMES, lanes)

    def _make_builder(self) -> RolloutBuilder | None:
        if self._settings.mode is Mode.PLAY:
            return None
        learning = with_defaults(self._settings.learning, self.game.description)
        return RolloutBuilder(self.actor.spec, learning.rollout_steps)

    def _make_recorder(self) -> EpisodeRecorder | None:
        if not self._settings.replays.keep_mb or not self.game.description.repeatable:
            return None
        return EpisodeRecorder(EpisodeSetup.of(self.game.description, self._settings.learning))

    def _episode_seeds(self, number: int) -> Iterator[int]:
        return episode_seeds(
            self._settings.learning.seed,
            Purpose.TRAINING,
            worker=self._index,
            start=self._start,
            game=number,
        )

    def _on_first_reset(self) -> None:
        self.actor.reset_state(0)
        self.play.on_episode_start()

    def _open_runner(self, number: int, process: GameProcess | None) -> EnvRunner:
        game_id, learning = self._settings.game, self._settings.learning
        try:
            if process is None:
                game = make_game(game_id, learning, shown=False)
            else:
                game = RemoteGame(process, number, game_id, learning, self.game.description)
        except GameStartError as error:
            # The first one runs: this is about resources, not about a game that can't be played.
            raise GameError(str(error)) from None
        runner = EnvRunner(
            game,
            number,
            self._make_builder(),
            seeds=self._episode_seeds(number),
            on_reset=lambda: self.actor.reset_state(number),
            on_life_lost=lambda: self.actor.reset_state(number),
            recorder=self._make_recorder(),
        )
        runner.reset()
        return runner


def run(
    settings: Settings,
    settings_file: Path,
    index: int,
    run_dir: Path,
    counters: Counters,
    *,
    inference: int | None = None,
) -> None:
    """Run a worker until SIGTERM; see ``Worker``.

    Raises:
        MetaBonkError: it can't start, or a game broke.
    """
    stop = StopSignal()
    stop.watch_threads()
    worker = Worker(settings, settings_file, index, run_dir, counters, inference=inference)
    with contextlib.closing(worker):
        worker.start()
        worker.run(stop.is_set)
        stop.raise_failure()
        step, episode = worker.progress.counters()
        log.info("stops after %d steps and %d episodes", step, episode)


def policy_device(gpu: Gpu | None) -> torch.device | None:
    """Return the device that a worker's policy acts on; None leaves the choice to the actor."""
    if gpu is None or not torch.cuda.is_available():
        return None
    return torch.device("cuda", gpu.ordinal)
