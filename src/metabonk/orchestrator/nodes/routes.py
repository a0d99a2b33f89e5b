"""Routes of agents at the head, on the page's port and under a token of their own."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Annotated

import httpx
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from metabonk.http.app import make_http_app
from metabonk.http.errors import error_response
from metabonk.http.weights import MAX_WAIT_S
from metabonk.messages.base import ErrorBody
from metabonk.messages.nodes import (
    EPOCH_HEADER,
    HEAD_HEADER,
    NODES_PATH,
    ROLLOUT_HEADER,
    JoinClaim,
    JoinReply,
    JoinRequest,
    NodeName,
    NodeOrders,
    NodeReport,
)
from metabonk.orchestrator.gateway.forwarding import ForwardedResponse
from metabonk.orchestrator.nodes.head import Nodes
from metabonk.orchestrator.nodes.table import NodeRefused, StaleEpoch
from metabonk.settings.public_url import url_host

MAX_BODY_BYTES = 256 << 20
"""Larger than any rollout that a learner takes; that one refuses smaller ones as well."""

REACH_TIMEOUT_S = 3.0
LEARNER_TIMEOUT_S = 20.0
MAX_FAILURE = 2_000
REMEMBERED_ROLLOUTS = 1024
"""Rollouts remembered of each node, which sends a few at a time."""

WEIGHTS_HEADERS = ("content-type", "content-length", "etag", "retry-after")

Head = Annotated[str, Header(alias=HEAD_HEADER)]
Epoch = Annotated[int, Header(alias=EPOCH_HEADER)]
Failure = Annotated[str, Query(max_length=MAX_FAILURE)]
Number = Annotated[int, Header(alias=ROLLOUT_HEADER)]


class NodesMiddleware:
    """The application of agents, before that of viewers on the same port.

    Args:
        app: of viewers.
        nodes: of the fleet.
        learner: opened while this is served.
        prefix: of the page's paths, which a proxy may have removed.
    """

    def __init__(
        self, app: ASGIApp, nodes: Nodes, learner: "LearnerLink", prefix: str = ""
    ) -> None:
        self._page = app
        self._app = make_http_app("MetaBonk head", max_body_bytes=MAX_BODY_BYTES, token=nodes.token)
        self._app.include_router(node_routes(nodes, learner))
        self._app.add_exception_handler(StaleEpoch, _stale)
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of an agent, or leave it to the page."""
        if scope["type"] in ("http", "websocket"):
            path = scope["path"].removeprefix(self._prefix)
            if path.startswith(f"{NODES_PATH}/"):
                await self._app({**scope, "path": path}, receive, send)
                return
        await self._page(scope, receive, send)


class LearnerLink:
    """Passes on what nodes exchange with the learner; each rollout once.

    Args:
        learner: address, ``http://…``.
        checkpoint: see below.

    Attributes:
        checkpoint: returns the weights of a fleet that only plays; None where a learner has them.
    """

    def __init__(self, learner: str, checkpoint: Callable[[], bytes | None] | None = None) -> None:
        self._learner = learner
        self.checkpoint = checkpoint
        self._client: httpx.AsyncClient | None = None
        self._rollouts: OrderedDict[tuple[int, int], asyncio.Future[Response]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep connections for the block."""
        async with httpx.AsyncClient(
            trust_env=False,
            base_url=self._learner,
            limits=httpx.Limits(max_connections=None),
            timeout=LEARNER_TIMEOUT_S,
        ) as self._client:
            yield

    async def send_rollout(self, epoch: int, number: int, body: bytes) -> Response:
        """Return the learner's answer to a rollout; one that comes again gets the first answer."""
        key = epoch, number
        known = self._rollouts.get(key)
        if known is None:
            known = asyncio.ensure_future(self._post(body))
            self._rollouts[key] = known
            while len(self._rollouts) > REMEMBERED_ROLLOUTS:
                self._rollouts.popitem(last=False)
        # The agent may leave; what the learner has must still be remembered.
        response = await asyncio.shield(known)
        if response.status_code >= 500:
            self._rollouts.pop(key, None)  # It was not taken.
        return response

    async def fetch_weights(self, known: str | None, wait_s: float) -> Response:
        """Return the learner's answer to whoever has these weights, or the checkpoint."""
        if self.checkpoint is not None:
            weights = await asyncio.to_thread(self.checkpoint)
            if weights is None:
                return error_response(503, "no_checkpoint", "the run has no readable checkpoint")
            return Response(weights, media_type="application/octet-stream")
        assert self._client is not None, "served within its lifespan"
        request = self._client.build_request(
            "GET",
            "/weights",
            params={"wait": wait_s},
            headers={"If-None-Match": known} if known else {},
            timeout=httpx.Timeout(LEARNER_TIMEOUT_S, read=wait_s + LEARNER_TIMEOUT_S),
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            return _no_learner(error)
        kept = (name for name in WEIGHTS_HEADERS if name in response.headers)
        return ForwardedResponse(response, {name: response.headers[name] for name in kept})

    async def _post(self, body: bytes) -> Response:
        assert self._client is not None, "served within its lifespan"
        try:
            answer = await self._client.post("/rollouts", content=body)
        except httpx.HTTPError as error:
            return _no_learner(error)
        kept = {name: answer.headers[name] for name in ("retry-after",) if name in answer.headers}
        return Response(
            answer.content, answer.status_code, kept, answer.headers.get("content-type")
        )


def node_routes(nodes: Nodes, learner: LearnerLink) -> APIRouter:
    """Return the routes of agents."""
    router = APIRouter(prefix=NODES_PATH, responses={410: {"model": ErrorBody}})

    @router.post("/join", responses={409: {"model": ErrorBody}, 502: {"model": ErrorBody}})
    async def join(request: Request, claim: JoinClaim) -> JoinReply:
        """Take a node in."""

        def refuse(status: int, error: str, message: str) -> JoinReply:
            nodes.note_absence(claim.node, message)
            return error_response(status, error, message)  # type: ignore[return-value]

        if claim.version != (own := version("metabonk")):
            message = f"the head has MetaBonk {own}, this node {claim.version}; install the same"
            return refuse(409, "other_version", message)
        try:
            joining = JoinRequest.model_validate(claim.model_dump())
        except ValidationError as error:
            return refuse(422, "invalid_request", f"its request can't be read: {error}")
        assert request.client is not None, "served over TCP"
        host = joining.address or request.client.host
        url = f"http://{url_host(host)}:{joining.port}"
        if (reason := await _unreachable(url, nodes.token, joining.agent)) is not None:
            message = (
                f"the head can't reach this node at {url}: {reason}; let it through to that port, "
                "or name an address that it can reach with --address"
            )
            return refuse(502, "node_unreachable", message)
        try:
            return await asyncio.to_thread(nodes.join, joining, url)
        except NodeRefused as error:
            return refuse(409, "name_in_use", str(error))

    @router.post("/{node}/report")
    def report(node: NodeName, report: NodeReport) -> NodeOrders:
        """Take a node's report and answer with its orders."""
        return nodes.report(node, report)

    @router.delete("/{node}", status_code=204, response_class=Response)
    def leave(node: NodeName, head: Head, epoch: Epoch, failure: Failure = "") -> Response:
        """Let a node go whose workers have ended."""
        nodes.leave(node, head, epoch, failure)
        return Response(status_code=204)

    @router.post("/{node}/rollouts", status_code=202)
    async def post_rollout(
        node: NodeName, head: Head, epoch: Epoch, number: Number, request: Request
    ) -> Response:
        """Pass a rollout on to the learner, once."""
        nodes.require(node, head, epoch)
        body = await request.body()
        # It may have taken long to arrive.
        nodes.require(node, head, epoch)
        return await learner.send_rollout(epoch, number, body)

    @router.get("/{node}/weights", response_class=Response)
    async def get_weights(
        node: NodeName, head: Head, epoch: Epoch, request: Request, wait: float = 0.0
    ) -> Response:
        """Return the learner's newest weights; 304 if the node has them."""
        nodes.require(node, head, epoch)
        known = request.headers.get("if-none-match")
        return await learner.fetch_weights(known, min(max(0.0, wait), MAX_WAIT_S))

    return router


async def _unreachable(url: str, token: str, agent: str) -> str | None:
    """Return why a node's port can't be reached from here; None if it can."""
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=REACH_TIMEOUT_S) as client:
            answer = await client.get(f"{url}/agent", headers=headers)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    except httpx.InvalidURL as error:
        return str(error)
    if answer.status_code == 200 and answer.text == agent:
        return None
    return "another program answers there"


def _stale(request: Request, error: Exception) -> Response:
    message = "this node was taken for dead, or the head was restarted; its agent must join again"
    return error_response(410, "stale_epoch", message)


def _no_learner(error: httpx.HTTPError) -> Response:
    reason = str(error) or type(error).__name__
    message = f"the learner does not answer ({reason}); it is starting, or restarting after a crash"
    return error_response(503, "no_learner", message, {"Retry-After": "1"})
