"""``metabonk start``: run a fleet in the foreground until Ctrl-C."""

import argparse
import contextlib
import functools
import importlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from metabonk.cli.display import make_display
from metabonk.cli.game_name import require_game
from metabonk.cli.serving import (
    log_to,
    make_token,
    page_address,
    qr_code,
    serve,
    shown_address,
)
from metabonk.cli.start_options import add_arguments as add_arguments
from metabonk.cli.terminal import Terminal
from metabonk.errors import SettingsError, StartError
from metabonk.messages.workers import Mode
from metabonk.orchestrator import preflight
from metabonk.orchestrator.guests.election import Election
from metabonk.orchestrator.lock import FleetLock, clear_killed
from metabonk.orchestrator.processes import go2rtc
from metabonk.runs.layout import (
    NEWEST,
    discard,
    env_args_of,
    find_run,
    game_of,
    learning_of,
    new_run,
)
from metabonk.settings import Settings, env_args, load_settings, unknown_variables
from metabonk.settings.commands import add_extra, command, is_installed
from metabonk.settings.environment import forget_air_key
from metabonk.settings.nodes import TOKEN_FILE, head_token
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

TOP_LEVEL = ("mode", "workers", "game", "stream_profile", "host", "public_url")


def run(arguments: argparse.Namespace) -> int:
    """Run the fleet; return the exit code."""
    return serve(functools.partial(_run, arguments))


def _run(arguments: argparse.Namespace, terminal: Terminal, stop: StopSignal) -> None:
    settings, resumed, notes = _settings(arguments)
    forget_air_key()
    for sentence in (*unknown_variables(), *notes):
        terminal.print(f"note: {sentence}")
    if missing := go2rtc.note(settings):
        terminal.print(f"note: {missing}")
    if conflict := preflight.localhost_conflict(settings):
        terminal.print(f"note: {conflict}")
    token, of_nodes = make_token(settings), _node_token(settings)
    if of_nodes is not None and not settings.is_remote:
        terminal.print(
            f"note: the page is on {settings.host}, which agents of other machines reach by a "
            "tunnel only; --host 0.0.0.0 lets them and viewers in"
        )
    page, shown = page_address(settings), shown_address(settings, token)
    folder, port = runtime_dir(settings.paths.runtime), settings.ports.orchestrator

    def locate() -> Path:
        return runtime_dir(settings.paths.runtime)

    with contextlib.ExitStack() as held:
        election = held.enter_context(contextlib.closing(Election("fleet")))
        for line in take_over(election):
            terminal.print(f"note: {line}")
        lock = held.enter_context(
            contextlib.closing(FleetLock(folder, port, page=page, locate=locate))
        )
        for line in (*lock.ended, *clear_killed(folder)):
            terminal.print(f"note: {line}")
        preflight.check(settings)
        log_to(settings.paths.logs)
        run_dir = resumed or new_run(settings)
        log.info("pid %d, run %s", os.getpid(), run_dir.absolute())
        if settings.is_remote and terminal.console.is_terminal:
            terminal.print(qr_code(shown))
        terminal.open_display(lambda: make_display(terminal.console, shown))
        # It takes a second to import: a wrong argument was refused without it.
        process = importlib.import_module("metabonk.orchestrator.process")
        try:
            process.run(
                settings,
                run_dir,
                lock,
                terminal,
                stop,
                election,
                page=shown,
                token=token,
                node_token=of_nodes,
            )
        except SettingsError:
            # Such as an unknown game: nothing was run.
            if resumed is None:
                discard(run_dir)
            raise
        log.info("stopped")
    terminal.print(f"stopped; the run is in {run_dir}")


def _with_nodes(settings: Settings) -> Settings:
    """Return the settings with a node to wait for, where Ray starts agents.

    Raises:
        SettingsError: Ray is not installed.
    """
    if settings.nodes.ray is None or settings.nodes.count:
        return settings
    if not is_installed("ray"):
        raise SettingsError(
            f"nodes.ray is {settings.nodes.ray!r}, but the package ray is not installed: run "
            f"{add_extra('ray')!r}, or start agents yourself with '{command('join')}'"
        )
    nodes = settings.nodes.model_copy(update={"count": 1})
    return settings.model_copy(update={"nodes": nodes})


def _node_token(settings: Settings) -> str | None:
    """Return the secret of the nodes; None where workers play on this machine.

    Raises:
        SettingsError: it can't be used.
    """
    if not settings.nodes.count:
        return None
    return head_token(settings.nodes.token_file or settings.paths.runs / TOKEN_FILE)


def take_over(election: Election) -> Iterator[str]:
    """Take the place of a hub; yield a line for what was ended, and for what is not shown."""
    try:
        yield from election.take_over()
    except (OSError, StartError) as error:
        yield f"environments of other trainers are not shown: {error}"
        return
    if not election.is_won:
        holder = election.holder()
        where = f"at {holder.page}" if holder is not None and holder.page else "by another process"
        yield f"environments of other trainers are shown {where}, and here once that has ended"


def _settings(arguments: argparse.Namespace) -> tuple[Settings, Path | None, list[str]]:
    """Return the settings, the folder of the resumed run, and notes for the user.

    A run keeps its game.
    """
    given = {name: getattr(arguments, name) for name in TOP_LEVEL}
    given |= {
        "worker": {"games_per_worker": arguments.games_per_worker},
        "learning": {"seed": arguments.seed, "env_args": arguments.env_arg},
        "go2rtc": {"enabled": arguments.go2rtc or None},
        "nodes": {
            "count": arguments.nodes,
            "ray": arguments.ray,
            "token_file": arguments.token_file,
        },
        "air": {"to": arguments.air},
    }
    settings = _with_nodes(load_settings(given))
    if not settings.workers:
        raise SettingsError(
            f"workers is 0, but a fleet has at least one; '{command('watch')}' shows environments "
            "of other trainers without a fleet"
        )
    if arguments.resume is None and settings.mode is Mode.TRAIN:
        require_game(settings.game)
        return settings, None, []
    run_dir = find_run(settings.paths.runs, arguments.resume or NEWEST, mode=settings.mode)
    game = game_of(run_dir)
    if arguments.game not in (None, game):
        raise StartError(
            f"run {run_dir.name} was trained on {game} and can't resume as {arguments.game}; "
            "omit --game, or start a new run without --resume"
        )
    # What else it was trained with is kept where nothing is given now.
    learning = learning_of(run_dir)
    learning.pop("env_args", None)
    settings = _with_nodes(load_settings({**given, "game": game}, {"learning": learning}))
    kept, notes = _keep_env_args(settings, run_dir, replace=arguments.env_arg is not None)
    return kept, run_dir, notes


def _keep_env_args(
    settings: Settings, run_dir: Path, *, replace: bool
) -> tuple[Settings, list[str]]:
    """Return settings with the run's arguments of the environment, and a note on other ones.

    Args:
        settings: as given for the resumed run.
        run_dir: its folder.
        replace: use the given arguments instead.
    """
    given, kept = settings.learning.env_args, env_args_of(run_dir)
    if given == kept:
        return settings, []
    if replace:
        was, now = env_args.show(kept), env_args.show(given)
        return settings, [f"run {run_dir.name} was started with {was} and resumes with {now}"]
    learning = settings.learning.model_copy(update={"env_args": kept})
    settings = settings.model_copy(update={"learning": learning})
    if not given:
        return settings, []
    return settings, [
        f"run {run_dir.name} keeps {env_args.show(kept)}; only --env-arg gives its environment "
        f"others, such as {env_args.show(given)}"
    ]
