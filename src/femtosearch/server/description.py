"""The OpenAPI description at /openapi.json, and the methods and parameters of each path, which follow
from it.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, Request

from femtosearch.server.guard import access_of
from femtosearch.server.problems import refusal
from femtosearch.server.settings import Settings

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of --api-key or --write-key."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
Methods = list[tuple[re.Pattern[str], list[str]]]
Parameters = dict[tuple[str, str], list[str]]


def describe(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Describe the application in OpenAPI's terms. Operations that need a key under these settings say so."""
    description = app.openapi()
    description["components"]["securitySchemes"] = SCHEMES
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            access = access_of(method.upper(), path)
            if access is not None and not settings.may(access, ""):
                operation["security"] = [{name: []} for name in SCHEMES]
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_null(parameter["schema"])
    return description


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter in a link, which can be left out but cannot be null.

    >>> _without_null({"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Where"})
    {'title': 'Where', 'type': 'string'}
    """
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) != 1:
        return schema
    return {**{name: facts for name, facts in schema.items() if name != "anyOf"}, **options[0]}


def methods_of(description: dict[str, Any]) -> Methods:
    """Each path as a pattern, and its methods."""
    patterns = []
    for path, operations in description["paths"].items():
        literals = re.split(r"\{\w+\}", path)
        pattern = re.compile(".*".join(map(re.escape, literals)), re.S)
        patterns.append((pattern, [method.upper() for method in operations]))
    return patterns


def parameters_of(description: dict[str, Any]) -> Parameters:
    """The names of the parameters that a link to a path may have, of each (method, path) that has some."""
    names = {
        (method.upper(), path): [
            parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"
        ]
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    }
    return {operation: of_operation for operation, of_operation in names.items() if of_operation}


def refuse_unknown_parameters(request: Request) -> None:
    """Raise Refusal for a link with a parameter that its path does not know. For a path without parameters
    any are accepted, because other programs add some.
    """
    parameters: Parameters = request.app.state.parameters
    names = parameters.get((request.method, request.scope["route"].path_format))
    unknown = [name for name in request.query_params if names and name not in names]
    if names and unknown:
        expected = ", ".join(names)
        raise refusal(422, "body", f"{unknown[0][:200]}: expected one of the parameters {expected}")


def allowed(methods: Methods, path: str) -> list[str]:
    """The methods of a path. A path without placeholders goes before patterns that match it, too."""
    named = [names for pattern, names in methods if pattern.pattern == re.escape(path)]
    if named:
        return sorted(named[0])
    return sorted({name for pattern, names in methods if pattern.fullmatch(path) for name in names})
