"""`gyrfalcon doctor`: what is here, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator

import typer

from core.errors import UserError

LIBRARIES = ("polars", "pyarrow", "torch", "onnx", "onnxruntime", "faiss-cpu", "pydantic", "numpy")
EXTRAS = {"optuna": "gyrfalcon tune", "mlflow-skinny": "track.mlflow"}
GPU_LIBRARIES = ("cudf-polars-cu13", "cupy-cuda13x", "dask-cuda", "torchrec", "fbgemm-gpu", "onnxruntime-gpu")
GPU_CURE = "on a CUDA machine: pip install -r requirements/gpu.txt"


def doctor() -> None:
    """Print one line a finding: `ok`, or `--` with the cure."""
    for fine, what, told in _findings():
        typer.echo(f"{'ok' if fine else '--'}  {what:<18} {told}")


def _findings() -> Iterator[tuple[bool, str, str]]:
    yield True, "python", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores"
    for name in ("gyrfalcon", *LIBRARIES):
        version = _version(name)
        yield bool(version), name, version or "missing; pip install -r requirements/cpu.txt"
    for name, what in EXTRAS.items():
        version = _version(name)
        cure = f"missing, needed for {what} only; pip install --constraint requirements/test.txt {name}"
        yield bool(version), name, version or cure
    for name in GPU_LIBRARIES:
        version = _version(name)
        yield bool(version), name, version or f"missing, needed on a GPU only; {GPU_CURE}"
    yield _device()
    yield from _engines()
    yield _cache()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _device() -> tuple[bool, str, str]:
    from core.device import describe, pick

    try:
        return True, "device", describe(pick("cuda"))
    except UserError as error:
        return False, "device", f"cpu only: {error.what}; {error.cure}"


def _engines() -> Iterator[tuple[bool, str, str]]:
    from etl.engines import ENGINE_SPECS, make

    for kind, spec in ENGINE_SPECS.items():
        try:
            with make(spec()) as engine:
                yield True, f"engine {kind}", "ready" if kind != "auto" else f"chooses {engine.name}"
        except UserError as error:
            yield False, f"engine {kind}", "; ".join(filter(None, (error.what, error.cure)))


def _cache() -> tuple[bool, str, str]:
    from pipeline.datasets.cache import cache_directory

    folder = cache_directory()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    fine = os.access(there, os.W_OK)
    return fine, "data cache", f"{folder}" if fine else f"{folder} can't be written; set GYRFALCON_CACHE"
