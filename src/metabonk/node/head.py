"""The head of a fleet as a node's agent sees it, over HTTP."""

import logging
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from metabonk.errors import StartError
from metabonk.messages.base import ErrorBody
from metabonk.messages.nodes import (
    EPOCH_HEADER,
    HEAD_HEADER,
    NODES_PATH,
    JoinReply,
    JoinRequest,
    NodeOrders,
    NodeReport,
)

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 0.5
ANSWER_TIMEOUT_S = 3.0
"""With the pause before the next attempt, well within ``uplink.LOST_AFTER_S``."""

JOIN_TIMEOUT_S = 10.0
"""The head connects to the node's port meanwhile."""

CHECKPOINT_TIMEOUT_S = 10.0
"""For each part of a checkpoint to arrive."""

RETRIED = ("name_in_use", "node_unreachable")
"""Refusals of a join that may pass."""


class HeadUnreachable(Exception):
    """The head doesn't answer, or refuses for now; says why."""


class EpochOver(Exception):
    """The head has taken this node for dead, or was started again."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Part of a node in a fleet, from one join on.

    Attributes:
        node: name of the node.
        head: random, of the head's start.
        epoch: that the head gave the node.
    """

    node: str
    head: str
    epoch: int

    @property
    def headers(self) -> dict[str, str]:
        """Headers of messages that are no JSON."""
        return {HEAD_HEADER: self.head, EPOCH_HEADER: str(self.epoch)}


class Head:
    """Client of the head, for one thread at a time.

    Args:
        url: of the head's page, ``http://…``.
        token: of the nodes.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(
            headers=self.headers,
            trust_env=False,
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def address_of(self, membership: Membership) -> str:
        """Return the address of a node's own routes."""
        return f"{self.url}{NODES_PATH}/{membership.node}"

    def join(self, request: JoinRequest) -> JoinReply:
        """Join the fleet.

        Raises:
            HeadUnreachable: it can't be joined now.
            StartError: it can't be joined in this way.
        """
        content = request.model_dump(mode="json")
        answer = self._send(
            "POST", f"{self.url}{NODES_PATH}/join", json=content, timeout=JOIN_TIMEOUT_S
        )
        if answer.is_success:
            try:
                return JoinReply.model_validate_json(answer.content)
            except ValidationError:
                raise StartError(f"{self.url} is no head of this version of MetaBonk") from None
        error, message = _refusal(answer)
        if error in RETRIED or answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise HeadUnreachable(message)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise StartError(
                f"the head at {self.url} refuses this token; copy its token file anew "
                "(runs/node-token where it was started), and see that it was started with --nodes"
            )
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
            raise StartError(
                f"{self.url} is no head of a fleet on many machines: it must be the address of the "
                "page of a fleet that was started with --nodes"
            )
        raise StartError(f"the head at {self.url} refuses this node: {message}")

    def report(self, membership: Membership, report: NodeReport) -> NodeOrders:
        """Send a report and return the orders.

        Raises:
            HeadUnreachable: no answer came.
            EpochOver: the node must join again.
        """
        answer = self._send(
            "POST",
            f"{self.address_of(membership)}/report",
            content=report.model_dump_json(),
            headers={"Content-Type": "application/json"},
        )
        if answer.status_code == httpx.codes.GONE:
            raise EpochOver
        if not answer.is_success:
            raise HeadUnreachable(_refusal(answer)[1])
        try:
            return NodeOrders.model_validate_json(answer.content)
        except ValidationError as error:
            raise HeadUnreachable(f"its orders can't be read: {error}") from None

    def checkpoint(self, membership: Membership) -> bytes:
        """Return the checkpoint that a fleet without a learner plays with.

        Raises:
            HeadUnreachable: it can't be had now.
        """
        answer = self._send(
            "GET",
            f"{self.address_of(membership)}/weights",
            headers=membership.headers,
            timeout=httpx.Timeout(CHECKPOINT_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )
        if not answer.is_success:
            raise HeadUnreachable(_refusal(answer)[1])
        return answer.content

    def leave(self, membership: Membership, failure: str = "") -> None:
        """Say goodbye; the head may be gone.

        Args:
            membership: that ends.
            failure: that ends the agent; empty if it was asked to stop.
        """
        address, told = self.address_of(membership), {"failure": failure} if failure else {}
        try:
            self._send("DELETE", address, headers=membership.headers, params=told)
        except HeadUnreachable as error:
            log.info("the head doesn't answer the goodbye: %s", error)

    def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, url, **options)
        except httpx.HTTPError as error:
            raise HeadUnreachable(str(error) or type(error).__name__) from None
        except httpx.InvalidURL as error:
            raise StartError(f"{self.url} is no address of a head: {error}") from None


def _refusal(answer: httpx.Response) -> tuple[str, str]:
    """Return the code of a refusal and its sentence."""
    try:
        body = ErrorBody.model_validate_json(answer.content)
    except ValidationError:
        return "", f"it answered {answer.status_code}"
    return body.error, body.message
