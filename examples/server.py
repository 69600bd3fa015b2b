"""Search over HTTP: uvicorn --app-dir examples server:app, and then
curl 'localhost:8000/search?query=a+small+cat&k=3'

The index is the folder that FEMTOSEARCH_INDEX names. Many requests may search at once, while one writes.
"""

import os
from typing import Any

from fastapi import FastAPI, HTTPException

import femtosearch as fs

app = FastAPI(title="femtosearch")
index = fs.Index(os.environ.get("FEMTOSEARCH_INDEX", "notes"))


@app.get("/search")
def search(query: str, k: int = 10) -> list[dict[str, Any]]:
    try:
        hits = index.search(query, k=k)
    except fs.QueryError as error:
        raise HTTPException(status_code=422, detail=str(error)) from error
    return [{"id": hit.id, "score": hit.score, "text": hit.text, "metadata": hit.metadata} for hit in hits]
