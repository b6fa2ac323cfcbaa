"""The stages of a run as values: what each reads, what it writes, what decides its result, and what it does.

A stage is a pure step from named inputs to one output. It knows nothing of skipping, locks or half-written
files: it gets a directory to write into, and `pipeline.runner` puts the result in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.dataset import SPLITS, Dataset
from core.errors import UserError
from core.files import read_json, write_json

if TYPE_CHECKING:
    import torch

    from etl.dataset.sources import Sources
    from pipeline.spec import RunSpec

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What a stage may look at.

    Attributes:
        spec: The settings of the run.
        sources: The raw files.
        run_dir: Where the outputs of earlier stages lie.
        device: The choice of device, `auto`, `cpu` or `cuda`.
        start_from: The fitted workflow of an earlier run that the etl stage goes on from.
        begun_from: Directories of the earlier runs that `retriever` and `ranker` begin with, by side.
    """

    spec: RunSpec
    sources: Sources
    run_dir: Path
    device: str = "auto"
    start_from: Path | None = None
    begun_from: Mapping[str, Path] = field(default_factory=dict)

    @property
    def dataset(self) -> Dataset:
        """What the etl stage wrote."""
        return Dataset(self.run_dir / "etl")

    def torch_device(self) -> torch.device:
        """The device of the tensors."""
        from core.device import pick

        return pick(self.device)


@dataclass(frozen=True)
class Stage:
    """One step.

    Attributes:
        name: Its name in the manifest.
        group: Its name on the command line (`train` holds two steps).
        inputs: What it reads: `data` for the raw files, `start_from` for the workflow of an earlier run and `start of
            SIDE` for its model, names of earlier stages, `manifest` for their records.
        output: The file or directory that it writes, below the run directory.
        settings: The part of the config that decides its result; None where the config leaves the stage out.
        run: Do it: write into a path (an empty directory, or the name of a file), and tell figures.
        packages: The parts of the program that decide its result.
        libraries: Distributions whose version may decide its result.
        elsewhere: Whether these settings make it run in an environment of its own. What it wrote there holds here,
            with other versions of the libraries.
        resumes: Its directory survives a kill, and the next attempt goes on in it.
        uses_device: It computes on the device, whose kind changes the last digits of the result.
        volatile: Files of the output that hold times and so don't count as a change of the output.
        is_file: The output is one file.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    settings: Callable[[RunSpec], Any]
    run: Callable[[Context, Path], Figures]
    packages: tuple[str, ...]
    group: str = ""
    libraries: tuple[str, ...] = ()
    elsewhere: Callable[[RunSpec], bool] = lambda _: False
    resumes: bool = False
    uses_device: bool = False
    volatile: tuple[str, ...] = ()
    is_file: bool = False


def _etl(context: Context, out: Path) -> Figures:
    from etl.dataset.prepare import prepare

    spec, earlier = context.spec, context.start_from
    figures = prepare(context.sources, spec.etl, out, seed=spec.seed, start_from=earlier)
    _require_rows(context.spec, figures["rows"])
    return figures


def _require_rows(spec: RunSpec, rows: Mapping[str, int]) -> None:
    """Fail before the data set replaces an earlier one, not when training finds nothing to learn from."""
    from etl.dataset.splits import NoSplit
    from etl.dataset.splitting import expects

    needed = expects(spec.etl.split) if _only_counts(spec) else SPLITS
    empty = [split for split in needed if not rows.get(split)]
    if empty and not isinstance(spec.etl.split, NoSplit):
        raise UserError(
            f"the split {empty[0]} is empty",
            where="etl.split",
            cure=f"give it a larger share, or more data (rows: {dict(rows)})",
        )


def _only_counts(spec: RunSpec) -> bool:
    """Whether no validation rows are needed: what is counted has no epochs to choose from."""
    if isinstance(spec.train, Mapping):  # as it was typed: the ETL alone imports no models
        return True
    from train.models.retrieve.base import CountedModel

    retriever = spec.train.retriever
    return spec.train.ranker is None and retriever is not None and isinstance(retriever.model, CountedModel)


def _in_nvtabulars(spec: RunSpec) -> bool:
    """NVTabular has an environment of its own, which the lock pins; models are trained in another."""
    from etl.engines.spec import NvtabularEngineSpec

    return isinstance(spec.etl.engine, NvtabularEngineSpec)


def _retriever(context: Context, out: Path) -> Figures:
    from train.retriever_training import train_retriever

    spec, device = context.spec, context.torch_device()
    assert spec.train.retriever is not None
    start = context.begun_from.get("retriever")
    return train_retriever(context.dataset, spec.train.retriever, out, seed=spec.seed, device=device, start_from=start)


def _ranker(context: Context, out: Path) -> Figures:
    from train.ranker import train_ranker

    spec, device = context.spec, context.torch_device()
    assert spec.train.ranker is not None
    start = context.begun_from.get("ranker")
    return train_ranker(context.dataset, spec.train.ranker, out, seed=spec.seed, device=device, start_from=start)


def _evaluate(context: Context, out: Path) -> Figures:
    from train.evaluate import evaluate

    train_dir, device = context.run_dir / "train", context.torch_device()
    users_file = out.with_name("metrics_users.parquet")
    spec, seconds = context.spec.evaluate, dict[str, float]()
    metrics = evaluate(context.dataset, train_dir, spec, device=device, users_file=users_file, seconds=seconds)
    write_json(out, metrics)
    return {"baseline_seconds": seconds} if seconds else {}


def _export(context: Context, out: Path) -> Figures:
    from serve.export import export_bundle

    run_dir, spec = context.run_dir, context.spec
    config = spec.model_dump(mode="json", by_alias=True)
    metrics = read_json(run_dir / "metrics.json")
    return export_bundle(context.dataset, run_dir / "train", spec.export, out, metrics=metrics, config=config)


def _report(context: Context, out: Path) -> Figures:
    from pipeline.report import write_report

    write_report(context.run_dir, out)
    return {}


def _settings_of(part: Any) -> Any:
    return None if part is None else part.model_dump(mode="json", by_alias=True)


def _training(spec: RunSpec, side: str) -> Any:
    """What decides a training. What the earlier run holds counts, not where it lies."""
    settings = _settings_of(getattr(spec.train, side))
    if settings is None:
        return None
    start = settings["start_from"] and {**settings["start_from"], "run": None}
    return {side: {**settings, "start_from": start}, "seed": spec.seed}


STAGES: tuple[Stage, ...] = (
    Stage(
        name="etl",
        inputs=("data", "start_from"),
        output="etl",
        # What the earlier workflow holds counts, not where it lies; of targets their order too, which hashes forget.
        settings=lambda spec: {
            "etl": {**_settings_of(spec.etl), "start_from": None},
            "targets": list(spec.etl.targets),
            "seed": spec.seed,
        },
        run=_etl,
        packages=("core", "etl"),
        libraries=("polars", "pyarrow"),
        elsewhere=_in_nvtabulars,
        volatile=("manifest.json",),
    ),
    Stage(
        name="retriever",
        group="train",
        inputs=("etl", "start of retriever"),
        output="train/retriever",
        settings=lambda spec: _training(spec, "retriever"),
        run=_retriever,
        packages=("core", "train"),
        libraries=("torch",),
        resumes=True,
        uses_device=True,
    ),
    Stage(
        name="ranker",
        group="train",
        inputs=("etl", "start of ranker"),
        output="train/ranker",
        settings=lambda spec: _training(spec, "ranker"),
        run=_ranker,
        packages=("core", "train"),
        libraries=("torch",),
        resumes=True,
        uses_device=True,
    ),
    Stage(
        name="evaluate",
        inputs=("etl", "retriever", "ranker"),
        output="metrics.json",
        settings=lambda spec: {"evaluate": _settings_of(spec.evaluate)},
        run=_evaluate,
        packages=("core", "train"),
        libraries=("torch",),
        uses_device=True,
        is_file=True,
    ),
    Stage(
        name="export",
        inputs=("etl", "retriever", "ranker", "evaluate"),
        output="bundle",
        settings=lambda spec: {"export": _settings_of(spec.export), "name": spec.name},
        run=_export,
        packages=("core", "etl", "train", "serve"),
        libraries=("torch", "onnx", "onnxruntime", "faiss-cpu"),
        volatile=("manifest.json",),
    ),
    Stage(
        name="report",
        inputs=("etl", "retriever", "ranker", "evaluate", "export", "manifest"),
        output="report.html",
        settings=lambda spec: {"name": spec.name},
        run=_report,
        packages=("core", "etl", "train", "serve", "pipeline"),
        is_file=True,
    ),
)
