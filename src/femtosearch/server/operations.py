"""Paths for the operator of the server: health, readiness, metrics, contents; and the page for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response
from starlette.responses import HTMLResponse

from femtosearch.index.index import Index
from femtosearch.server.cluster.router import MissingShardsError
from femtosearch.server.page import page_policy, page_text
from femtosearch.server.state import Shared, as_json

if TYPE_CHECKING:
    from femtosearch.server.cluster.cluster import Cluster

router = APIRouter(tags=["operations"])


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page for people. Nothing of it comes from elsewhere, and nothing else may run in it."""
    return HTMLResponse(page_text(), headers={"Content-Security-Policy": page_policy()})


@router.get("/health", operation_id="health")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready", operation_id="ready")
async def ready(shared: Shared) -> Response:
    """Models are loaded and the indexes are open: 200; else 503."""
    return as_json({"ready": shared.ready}, 200 if shared.ready else 503)


@router.get("/metrics", operation_id="metrics", response_class=Response)
async def metrics(shared: Shared) -> Response:
    """Counts and times in Prometheus's format."""
    text = shared.metrics.text(await shared.workers.run(shared.indexes.counts))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/indexes", operation_id="indexes")
async def indexes(shared: Shared) -> Response:
    """What each index holds, and whether it may be written to."""

    def describe() -> list[dict[str, Any]]:
        return [{"name": name, **_facts(shared.indexes.get(name))} for name in shared.indexes.names()]

    entries = await shared.workers.run(describe)
    return as_json({"writable": shared.settings.writable, "indexes": entries})


def _facts(index: Index | Cluster) -> dict[str, Any]:
    """What an index holds; for a cluster that lacks shards only its number of documents and these shards."""
    try:
        return asdict(index.stats())
    except MissingShardsError as error:
        return {"documents": len(index), "missing": [f"shard {number}" for number in error.shards]}
