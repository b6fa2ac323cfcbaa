"""`gyrfalcon schema`: the JSON Schema of a config."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema, for an editor that completes and checks YAML."""
    from core.config import json_schema
    from pipeline.spec import RunSpec

    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Gyrfalcon config"}
    typer.echo(json.dumps({**json_schema(RunSpec), **head}, indent=2))
