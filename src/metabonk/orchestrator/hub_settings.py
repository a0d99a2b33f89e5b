"""Settings of a hub: those of the user, without a fleet, on ports and in folders that are free."""

import platform
from pathlib import Path

from metabonk.errors import StartError
from metabonk.settings import Settings
from metabonk.settings.commands import CHECKOUT
from metabonk.settings.environment import user_state_dir
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.log_files import remove_old
from metabonk.system.ports import free_port

FOLDER = "metabonk"

LOGS_KEPT_S = 14 * 86_400.0


def hub_settings(given: Settings, *, fixed_page: bool) -> Settings:
    """Return the settings of a hub, with absolute paths and without workers.

    Args:
        given: by the user.
        fixed_page: use this very port for the page; otherwise the next that is free.

    Raises:
        StartError: no folder can be written to, or no port is free.
    """
    ports = given.ports
    try:
        page = ports.page if fixed_page else free_port(given.host, ports.page)
        orchestrator = free_port(given.internal_host, ports.orchestrator, page.__eq__)
    except OSError as error:
        raise StartError(f"the page can't be served: {error.strerror}") from None
    logs = _logs_folder(given)
    paths = given.paths.model_copy(
        update={"logs": logs, "runs": logs, "runtime": _absolute(given.paths.runtime)}
    )
    return given.model_copy(
        update={
            "workers": 0,
            "ports": ports.model_copy(update={"page": page, "orchestrator": orchestrator}),
            "paths": paths,
            "nvenc": given.nvenc.model_copy(update={"slot_dir": _absolute(given.nvenc.slot_dir)}),
            "go2rtc": given.go2rtc.model_copy(update={"enabled": False}),
        }
    )


def _logs_folder(given: Settings) -> Path:
    """Return the folder of logs: the user's choice, a checkout's, or one of the user's, made.

    Raises:
        StartError: none can be written to.
    """
    if "logs" in given.paths.model_fields_set or Path.cwd() == CHECKOUT:
        return given.paths.logs.absolute()
    state = user_state_dir()
    if state is not None:
        # The home may be that of other machines too.
        folder = state / FOLDER / "logs" / platform.node()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            pass  # Such as in a container whose user has no home.
        else:
            # There is one for each name that an environment ever had.
            remove_old(folder, LOGS_KEPT_S)
            return folder
    folder = runtime_dir(given.paths.runtime).absolute() / "logs"
    folder.mkdir(exist_ok=True)
    return folder


def _absolute(folder: Path | None) -> Path | None:
    return None if folder is None else folder.absolute()
