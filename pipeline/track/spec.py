"""Settings of tracking: `track: {mlflow: URI, experiment: NAME}`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from core.spec import Spec


class TrackSpec(Spec):
    """Where a run is written down. No result depends on it, and no stage runs again because of it.

    Attributes:
        mlflow: The tracking URI of MLflow, such as `http://127.0.0.1:5000`.
        experiment: Its experiment; made where it isn't there.
    """

    mlflow: Annotated[str, Field(min_length=1)]
    experiment: Annotated[str, Field(min_length=1)] = "gyrfalcon"

    @field_validator("mlflow")
    @classmethod
    def _holds_no_secret(cls, value: str) -> str:
        if urlsplit(value).password is not None:
            cure = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            raise ValueError(f"must hold no password: a config is copied and shown; {cure}")
        return value
