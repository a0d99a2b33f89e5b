"""HTTP route that tells the page's viewers the address of a tile, to embed elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Query

from metabonk.http.embed import Embedding
from metabonk.messages.streams import EmbedLink


def embed_routes(embedding: Embedding) -> APIRouter:
    """Return the route.

    Args:
        embedding: of the page.
    """
    router = APIRouter(tags=["embed"])

    @router.get("/api/embed")
    def get_tile(worker: Annotated[str, Query(max_length=128)]) -> EmbedLink:
        """Address of the tile that shows a worker, or the program, and who may embed it."""
        return EmbedLink(path=embedding.path(worker), origins=list(embedding.origins))

    return router
