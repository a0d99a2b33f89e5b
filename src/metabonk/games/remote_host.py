"""The other end of ``remote``: runs games for a process that calls them."""

from contextlib import ExitStack
from multiprocessing.connection import Connection

from metabonk.errors import GameError
from metabonk.games.game import Game
from metabonk.games.registry import make_game
from metabonk.games.remote_wire import (
    Call,
    Recipe,
    Request,
    done,
    failed,
    pack_observation,
    pack_transition,
    unpack_action,
    unpack_seed,
)


class GameHost:
    """Games by number."""

    def __init__(self) -> None:
        self._games: dict[int, Game] = {}

    def serve(self, connection: Connection) -> None:
        """Answer calls until the other end closes the connection; then end all games."""
        with ExitStack() as ending, connection:
            ending.callback(self._close_all)
            while True:
                try:
                    request = Request.from_bytes(connection.recv_bytes())
                except EOFError:
                    return
                try:
                    reply = done(request.game, self._answer(request))
                except GameError as error:
                    reply = failed(request.game, error)
                connection.send_bytes(reply)

    def _answer(self, request: Request) -> bytes:
        call, number, content = request
        if call is Call.OPEN:
            recipe = Recipe.model_validate_json(content)
            self._games[number] = make_game(recipe.game, recipe.learning, shown=False)
            return b""
        game = self._games[number]
        match call:
            case Call.RESET:
                return pack_observation(game.reset(unpack_seed(content)))
            case Call.STEP:
                return pack_transition(game.step(unpack_action(content, game.description)))
            case Call.CARRIED_STATE:
                return game.carried_state()
            case Call.RESTORE_CARRIED_STATE:
                game.restore_carried_state(content)
            case Call.CLOSE:
                self._games.pop(number).close()
        return b""

    def _close_all(self) -> None:
        with ExitStack() as ending:
            for game in self._games.values():
                ending.callback(game.close)
