"""The export stage: a data set and trained models in, a bundle out."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

from core import log
from core.dataset import ITEM_INDEX, USER_INDEX, Dataset
from core.errors import UserError
from core.files import hash_file, write_json
from core.schema import Tag
from etl.dataset.tables import write_table
from serve import bundle as layout
from serve.columns import encode_frame
from serve.golden import vector_column, with_answers, with_scores
from serve.histories import kept_of, ranker_column, with_histories, with_met
from serve.index import build_index
from serve.manifest import KIND, MANIFEST, VERSION, describe_files
from serve.met import Met, met_of
from serve.onnx_export import export_model
from serve.parts import Parts, TrainedRetriever, load_parts
from serve.query import Query, query_of
from serve.runtime import Model
from serve.signature import Array, Signature
from serve.spec import ExportSpec
from serve.targets import answers_of, further_outputs
from train.batch import Batch
from train.histories import END, Histories
from train.models.retrieve.base import Reads, Scores
from train.pairs import entity_batch, read_interactions
from train.retriever import queries_at

PACKAGES = ("gyrfalcon", "torch", "onnx", "onnxruntime", "polars", "faiss-cpu", "numpy")


def export_bundle(
    dataset: Dataset, train_dir: Path, spec: ExportSpec, out: Path, *, metrics: dict[str, Any], config: dict[str, Any]
) -> dict[str, Any]:
    """Write a bundle; its manifest comes last, so a directory without one is not a bundle.

    Args:
        dataset: What the ETL wrote.
        train_dir: Holds `ranker/`, `retriever/` or both.
        spec: What the bundle holds.
        out: An empty directory, or one to be made.
        metrics: What evaluation found; kept in the manifest without its curves.
        config: The resolved config; kept in the manifest.

    Returns:
        Figures: seconds of each part, bytes, and what is known of the index.

    Raises:
        UserError: There is no trained model.
    """
    return write_bundle(load_parts(dataset, train_dir), spec, out, metrics=metrics, config=config)


def write_bundle(
    parts: Parts, spec: ExportSpec, out: Path, *, metrics: dict[str, Any], config: dict[str, Any]
) -> dict[str, Any]:
    """Write a bundle of parts that are already loaded; as `export_bundle`."""
    out.mkdir(parents=True, exist_ok=True)
    start = perf_counter()
    query = query_of(parts.retriever, parts.dataset) if parts.retriever else None
    met = met_of(parts.ranker, parts.dataset, column=ranker_column(kept_of(parts))) if parts.ranker else None
    answers = answers_of(parts.ranker.module, parts.ranker.features, spec.rank_by) if parts.ranker else None
    signatures = _write_models(parts, query, met, out, answers=answers)
    models_seconds = perf_counter() - start
    _tell_given(parts, signatures)
    index = _write_entities(parts, spec, out) if parts.dataset.has_entities else None
    _write_schema(parts, signatures, out)
    golden = _write_golden(parts, spec, signatures, out, query=query, met=met, answers=answers)
    if parts.dataset.has_entities:
        _try_nobody(signatures, golden, out)
    contents = {
        "models": _describe_models(parts),
        "candidates": spec.candidates,
        "index": index,
        "golden_rows": len(golden),
        "given": list(parts.given),
        "reads": sorted(set(parts.retriever.reads if parts.retriever else ()) | ({Reads.HISTORY} if met else set())),
        "metrics": {name: value for name, value in metrics.items() if name != "curves"},
        "config": config,
    }
    size = _write_manifest(parts.dataset, contents, out)
    seconds = {"models": models_seconds, "total": perf_counter() - start}
    return {"seconds": seconds, "bytes": size, "index": index, "golden_rows": len(golden)}


def _write_manifest(dataset: Dataset, contents: Mapping[str, Any], out: Path) -> int:
    """Describe the files that are there: the sum of their bytes."""
    files = describe_files(out)
    data = {"manifest_sha256": hash_file(dataset.path / "manifest.json"), "rows": dataset.manifest().get("rows")}
    head = {"kind": KIND, "version": VERSION}
    write_json(out / MANIFEST, {**head, **contents, "files": files, "data": data, "versions": _versions()})
    return sum(entry["bytes"] for entry in files.values())


def _write_models(
    parts: Parts, query: Query | None, met: Met | None, out: Path, *, answers: nn.Module | None
) -> dict[str, Signature]:
    signatures = {}
    if parts.ranker and answers is not None:
        file, features = out / f"{layout.RANKER}.onnx", parts.ranker.features
        beside = further_outputs(features)
        signatures[layout.RANKER] = export_model(
            file, parts.fitted, answers, features, output="score", further=met, beside=beside
        )
    if query:
        file = out / f"{layout.RETRIEVER}.onnx"
        output = "scores" if query.scores else "vector"
        signatures[layout.RETRIEVER] = export_model(
            file, parts.fitted, query.module, query.features, output=output, width=_width(query), further=query
        )
    return signatures


@torch.inference_mode()
def _width(query: Query) -> int:
    return int(query.module(Batch.zeros(query.features, 1)).shape[1])


def _write_entities(parts: Parts, spec: ExportSpec, out: Path) -> dict[str, Any] | None:
    """Items, users and what they have seen; with a retriever that has vectors also these and the index over them."""
    dataset = parts.dataset
    users = _entities(dataset, "users", "user")
    if kept := kept_of(parts):
        users = with_histories(users, dataset, kept)
    write_table(users, out / layout.USERS)
    items = _entities(dataset, "items", "item")
    seen = (
        pl.scan_parquet(dataset.interactions_file)
        .select(
            pl.col(USER_INDEX).cast(pl.UInt32).alias(layout.USER_ROW),
            pl.col(ITEM_INDEX).cast(pl.UInt32).alias(layout.ITEM_ROW),
        )
        .unique()
        .sort(layout.USER_ROW, layout.ITEM_ROW)
    )
    write_table(seen.collect(), out / layout.SEEN)
    figures = None
    if parts.retriever and not isinstance(parts.retriever.query_module, Scores):
        vectors_ND, queries_BD = _vectors(dataset, parts.retriever, spec.index.queries)
        index, built = build_index(vectors_ND, queries_BD, spec.index)
        index.write(out / layout.INDEX)
        items = items.with_columns(vector_column(vectors_ND))
        figures = built.to_json()
    write_table(items, out / layout.ITEMS)
    return figures


def _entities(dataset: Dataset, side: str, name: str) -> pl.DataFrame:
    """Raw columns of users or items, and what windows over their events made of them at the end of the data."""
    raw, latest = pl.read_parquet(dataset.entity_file(side)), dataset.latest_file(name)
    return raw.hstack(pl.read_parquet(latest)) if latest.exists() else raw


def _tell_given(parts: Parts, signatures: Mapping[str, Signature]) -> None:
    """Name the inputs that are no raw columns."""
    read = [name for name in parts.given if any(name in signature.names for signature in signatures.values())]
    if read:
        told = "inputs made of earlier rows, which whoever asks for a score gives (recommend knows the data's end): %s"
        log.get("export").info(told, ", ".join(read))


def _vectors(dataset: Dataset, retriever: TrainedRetriever, queries: int) -> tuple[Array, Array]:
    """Vectors of all items, and of some users spread over all: recall is measured on real queries."""
    users = entity_batch(dataset, "user", retriever.user_features)
    if Reads.HISTORY in retriever.reads:
        users = queries_at(users, Histories.of(read_interactions(dataset)), END)
    some = users.pick(torch.arange(0, len(users), max(1, len(users) // queries))[:queries])
    items = entity_batch(dataset, "item", retriever.item_features)
    vectors_ND = retriever.item_vectors(items).numpy()
    lost = int(np.isnan(vectors_ND).any(axis=1).sum())
    if lost:
        message = f"{lost} of {len(vectors_ND)} items have a vector that is no number"
        cure = "look for huge values among the item features, and clip them"
        raise UserError(message, where=str(dataset.features_file("item")), cure=cure)
    return vectors_ND, retriever.user_vectors(some).numpy()


def _write_golden(
    parts: Parts,
    spec: ExportSpec,
    signatures: Mapping[str, Signature],
    out: Path,
    *,
    query: Query | None,
    met: Met | None,
    answers: nn.Module | None,
) -> pl.DataFrame:
    raw = pl.read_parquet(parts.dataset.sample_file).head(spec.golden_rows)
    if kept_of(parts):
        raw = with_met(raw, parts.dataset, out / layout.USERS)
    wanted = dict.fromkeys(name for signature in signatures.values() for name in signature.names)
    golden = raw.select(list(wanted)) if wanted else raw
    if parts.ranker and answers is not None:
        features, beside = parts.ranker.features, further_outputs(parts.ranker.features)
        golden = with_scores(golden, raw, parts.fitted, answers, features, met=met, beside=beside)
    if query:
        golden = with_answers(golden, raw, parts.fitted, query)
    write_table(golden, out / layout.GOLDEN)
    return golden


def _write_schema(parts: Parts, signatures: Mapping[str, Signature], out: Path) -> None:
    raw = parts.dataset.raw_schema()
    user, item = raw.first(Tag.USER_ID), raw.first(Tag.ITEM_ID)
    title = parts.dataset.manifest().get("title")
    roles = layout.Roles(user.name if user else None, item.name if item else None, title)
    models = {name: signature.to_json() for name, signature in signatures.items()}
    write_json(out / layout.SCHEMA, {"version": VERSION, "models": models, "roles": asdict(roles)})


def _try_nobody(signatures: Mapping[str, Signature], golden: pl.DataFrame, out: Path) -> None:
    """Warn when a model has no answer for somebody of whom nothing is known."""
    for name, signature in signatures.items():
        columns = encode_frame(golden.head(1), signature.inputs)
        nobody = {item.name: item.null for item in signature.of_side("user", "context")}
        answer = Model(out / f"{name}.onnx", signature).run({**columns, **nobody})
        if np.isnan(answer).any():
            cure = "add fill_median or fill_missing to the user features"
            log.get("export").warning("%s: new users cannot be served, a null stays unfilled; %s", name, cure)


def _describe_models(parts: Parts) -> dict[str, Any]:
    trained = {layout.RANKER: parts.ranker, layout.RETRIEVER: parts.retriever}
    return {name: model.spec.model_dump(mode="json") for name, model in trained.items() if model}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
