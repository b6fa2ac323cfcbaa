"""The `nvtabular` package as a runner of workflows, kept quiet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from core.errors import UserError
from etl.ops.nvt import nvtabular_module


def package() -> Any:
    """What is used of NVTabular beside its operators: `Workflow`, `WorkflowNode`, `ColumnSelector`, `Dataset`.

    Raises:
        MissingExtra: The package isn't installed.
    """
    nvtabular = nvtabular_module("nvtabular")
    return SimpleNamespace(
        Workflow=nvtabular.Workflow,
        WorkflowNode=nvtabular_module("nvtabular.workflow.node").WorkflowNode,
        ColumnSelector=nvtabular.ColumnSelector,
        Dataset=nvtabular.Dataset,
    )


@contextmanager
def running(what: str) -> Iterator[None]:
    """Run NVTabular: without its warnings and tracebacks in the log, and with its failures in one line.

    Raises:
        UserError: It failed; the message has its own words.
    """
    loggers = [logging.getLogger(name) for name in ("merlin", "nvtabular")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, MemoryError, OSError):
        raise
    except Exception as error:
        # pandas, numpy, dask and NVTabular itself raise here, each in its own way.
        raise UserError(
            f"NVTabular failed in {what}: {_words(error)}",
            where="engine nvtabular",
            cure="docs/nvtabular.md lists what its CPU code can't do; or set `etl.engine: cpu`",
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _words(error: BaseException) -> str:
    """The message of an error and of what it came from."""
    told = [f"{type(one).__name__}: {one}" for one in (error, error.__cause__) if one is not None]
    return " ".join(" from ".join(told).split())[:300]
