"""Options of ``metabonk start``, with the standard library alone.

``./start`` checks a command line before it installs anything, with whatever Python is there.
"""

import argparse

MODES = ("train", "play")
NEWEST = "newest"
"""Name that stands for the newest run with a checkpoint; see ``runs.layout``."""

EXAMPLES = """examples:
  %(prog)s --workers 4 --game doom:health_gathering
  %(prog)s --game gym:CartPole-v1
  %(prog)s --resume                 continue the newest run
  %(prog)s --mode play              let its policy play
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; everything else is a setting."""
    parser.add_argument("--mode", choices=MODES, help="default: train")
    parser.add_argument("--workers", metavar="N", help="number of workers (default: 2)")
    parser.add_argument(
        "--games-per-worker", metavar="N", help="games that each plays at once (default: by cores)"
    )
    parser.add_argument(
        "--game", metavar="ID", help="doom:<name>, gym:<id>, desktop:<name> or retro:<game>"
    )
    parser.add_argument(
        "--env-arg",
        action="append",
        metavar="KEY=VALUE",
        help="argument for the constructor of a Gymnasium environment; repeatable",
    )
    parser.add_argument(
        "--seed", metavar="N", help="seed of networks, episodes and actions (default: 0)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=NEWEST,
        metavar="RUN",
        help="resume an earlier run; without a name, the newest",
    )
    parser.add_argument(
        "--stream-profile", metavar="NAME|FILE", help="a name in profiles/, or a TOML file"
    )
    parser.add_argument(
        "--go2rtc",
        action="store_true",
        help="also serve the streams through go2rtc, if it is installed",
    )
    parser.add_argument(
        "--nodes", metavar="K", help="machines that play, each with 'metabonk join'; waits for K"
    )
    parser.add_argument(
        "--ray", metavar="A", help="start agents on a Ray cluster: auto, or ray://HOST:PORT"
    )
    parser.add_argument(
        "--token-file", metavar="F", help="secret of the nodes (default: runs/node-token, made)"
    )
    parser.add_argument(
        "--air", metavar="TO", help="go on air: rtmp://…, whip+https://… or hls:FOLDER"
    )
    parser.add_argument("--host", metavar="H", help="address of the page (default: 127.0.0.1)")
    parser.add_argument(
        "--public-url", metavar="URL", help="address under which a proxy serves the page"
    )


def check(arguments: list[str]) -> None:
    """Print the help that is asked for, or what is wrong with a command line, and exit; or return.

    Args:
        arguments: of ``./start``.
    """
    parser = argparse.ArgumentParser(
        prog="./start",
        description="Install what is missing, then run a fleet until Ctrl-C.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.parse_args(arguments)
