"""The one door to MLflow's client, and its rules for names."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.errors import MissingExtra

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""A server that does not answer would hold up a training for minutes by MLflow's own settings; the environment may say
otherwise."""
LONGEST_VALUE = 6000
"""Characters of a parameter that MLflow takes."""


def require() -> None:
    """Fail before any training where MLflow is not there.

    Raises:
        MissingExtra: It can't be imported.
    """
    try:
        with _quiet():
            import mlflow.tracking  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"MLflow can't be imported ({error})",
            where="track.mlflow",
            cure="install it with: pip install --constraint requirements/test.txt mlflow-skinny; or leave `track` out",
        ) from None


def client(uri: str) -> MlflowClient:
    """A client of a tracking store."""
    with _quiet():
        from mlflow.tracking import MlflowClient

        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        return MlflowClient(tracking_uri=uri)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without its own words about databases and what it will change one day."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def metric_name(name: str) -> str:
    """A figure's name as MLflow takes it: it allows no `@`.

    Example:
        >>> metric_name("recall@10")
        'recall_at_10'
    """
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))
