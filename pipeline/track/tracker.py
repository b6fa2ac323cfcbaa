"""Writes a run down in MLflow: settings, each epoch as it ends, final figures, the report.

The run directory stays the truth. What was sent stands in `.mlflow.json` beside it, so that a run that goes on after a
kill is one run there too, and what a server missed is sent by the next `gyrfalcon run` of the same config.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import log
from core.errors import UserError
from core.files import hash_file, hash_json, read_json, write_json
from core.version import program_version
from pipeline import manifest
from pipeline.etl_spec import EtlRunSpec
from pipeline.sides import sides_of
from pipeline.track import mlflow_client
from pipeline.track.mlflow_client import metric_name
from pipeline.track.spec import TrackSpec
from train.track.epochs import Epoch, listening

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_log = log.get("track")
NAME = ".mlflow.json"
_AWAY: set[str] = set()
"""Stores that could not be written; this process asks them for nothing more, since each try may wait for seconds."""


@dataclass
class Sent:
    """What MLflow knows.

    Attributes:
        key: Hash of the settings and the store; others are another run there.
        run: Its id there.
        epochs: The last epoch that was sent, by training (`ranker`, `ranker/seed-1`).
        files: Hashes of the files whose content was sent.
    """

    key: str
    run: str = ""
    epochs: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


class Tracker:
    """Sends what a run directory holds and what its training tells; nothing that goes wrong here ends the run.

    MLflow is asked for nothing before the first epoch: until then another process may hold the lock of the directory.

    Args:
        spec: Where to.
        name: Of the run.
        settings: Of the run, as plain values.
        run_dir: Its directory.
    """

    def __init__(self, spec: TrackSpec, name: str, settings: Mapping[str, Any], run_dir: Path) -> None:
        self._spec, self._name, self._settings, self._run_dir = spec, name, settings, run_dir
        self._sent = Sent(hash_json([settings, spec.model_dump()]))
        self._client: MlflowClient | None = None

    def epoch(self, epoch: Epoch) -> None:
        """Send an epoch as soon as it is validated."""
        side, place = epoch.where.removeprefix("train."), epoch.directory.name
        part = f"{side}/{place}" if place.startswith(("seed-", "baseline")) else side
        self._try(lambda client: self._send_epoch(client, part, epoch.number, epoch.train_loss, epoch.valid))

    def tag(self, tags: Mapping[str, str]) -> None:
        """Tell something about the run, by name."""
        for name, value in tags.items():
            self._try(lambda client, name=name, value=value: client.set_tag(self._sent.run, name, value))  # type: ignore[misc]

    def finish(self) -> None:
        """Send everything that the run directory holds and that was not sent yet."""
        self._try(self._send_all)
        self._end("FINISHED")

    def fail(self, *, interrupted: bool) -> None:
        """Tell that the run ended before its end."""
        if self._client is not None:
            self._end("KILLED" if interrupted else "FAILED")

    def _try(self, action: Callable[[MlflowClient], None]) -> None:
        if self._spec.mlflow in _AWAY:
            return
        try:
            if self._client is None:
                self._client = self._open()
            action(self._client)
            write_json(self._run_dir / NAME, asdict(self._sent))
        except Exception as error:  # noqa: BLE001 - a server that is away must not cost a training
            _AWAY.add(self._spec.mlflow)
            told = str(error).strip().partition("\n")[0][:300]
            _log.warning(
                "MLflow (%s) can't be written: %s; the run goes on, and the same command later sends what is missing",
                self._spec.mlflow,
                told or type(error).__name__,
            )

    def _end(self, status: str) -> None:
        self._try(lambda client: client.set_terminated(self._sent.run, status))

    def _open(self) -> MlflowClient:
        """Find the run that was begun earlier, or begin one."""
        client = mlflow_client.client(self._spec.mlflow)
        with contextlib.suppress(UserError, TypeError):
            known = Sent(**read_json(self._run_dir / NAME))
            if known.key == self._sent.key and _is_there(client, known.run):
                client.update_run(known.run, status="RUNNING")
                self._sent = known
                return client
        experiment = client.get_experiment_by_name(self._spec.experiment)
        number = experiment.experiment_id if experiment else client.create_experiment(self._spec.experiment)
        tags = {"gyrfalcon.config_hash": hash_json(self._settings), "gyrfalcon.version": program_version()}
        self._sent.run = client.create_run(number, tags=tags, run_name=self._name).info.run_id
        params = flat(self._settings)
        for start in range(0, len(params), 100):
            client.log_batch(self._sent.run, params=[_param(*one) for one in list(params.items())[start : start + 100]])
        return client

    def _send_epoch(
        self, client: MlflowClient, part: str, number: int, train_loss: float, valid: Mapping[str, float]
    ) -> None:
        if number <= self._sent.epochs.get(part, 0):
            return
        figures = {"train_loss": train_loss, **{f"valid/{name}": value for name, value in valid.items()}}
        self._send(client, {f"{part}/{name}": value for name, value in figures.items()}, step=number)
        self._sent.epochs[part] = number

    def _send_all(self, client: MlflowClient) -> None:
        for file in sorted((self._run_dir / "train").glob("**/history.json")):
            part = file.parent.relative_to(self._run_dir / "train").as_posix()
            for one in read_json(file)["epochs"]:
                self._send_epoch(client, part, one["epoch"], one["train_loss"], one["valid"])
        record = manifest.read(self._run_dir).get("etl")
        if record is not None:
            client.set_tag(self._sent.run, "gyrfalcon.data_hash", record.inputs.get("data", ""))
        metrics = self._run_dir / "metrics.json"
        if self._changed(metrics):
            self._send(client, final_figures(read_json(metrics)), step=0)
        for file in (self._run_dir / "report.html", metrics):
            if self._changed(file):
                client.log_artifact(self._sent.run, str(file))
                self._sent.files[file.name] = hash_file(file)

    def _changed(self, file: Path) -> bool:
        return file.exists() and self._sent.files.get(file.name) != hash_file(file)

    def _send(self, client: MlflowClient, figures: Mapping[str, float], *, step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        known = {metric_name(name): value for name, value in figures.items() if math.isfinite(value)}
        client.log_batch(self._sent.run, metrics=[Metric(name, value, now, step) for name, value in known.items()])


@contextlib.contextmanager
def tracked(
    spec: TrackSpec | None, name: str, settings: Mapping[str, Any], run_dir: Path
) -> Iterator[Callable[[Mapping[str, str]], None]]:
    """Write down the run of this block, if the config asks for it; gives what takes tags.

    Raises:
        MissingExtra: It does, and MLflow is not there; raised before the block.
    """
    if spec is None:
        yield lambda _: None
        return
    mlflow_client.require()
    tracker = Tracker(spec, name, settings, run_dir)
    try:
        with listening(tracker.epoch):
            yield tracker.tag
    except BaseException as error:
        tracker.fail(interrupted=isinstance(error, KeyboardInterrupt))
        raise
    tracker.finish()


def _is_there(client: MlflowClient, run: str) -> bool:
    """Whether a run that was begun earlier is still there: people remove runs."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def settings_of(spec: EtlRunSpec) -> dict[str, Any]:
    """The settings of a run that its result can depend on, as plain values."""
    plain = spec.model_dump(mode="json", by_alias=True)
    return {name: value for name, value in plain.items() if name not in ("tune", "track")}


def flat(value: Any, path: str = "") -> dict[str, str]:
    """Settings by dotted path, each as text.

    Example:
        >>> flat({"train": {"seeds": [1, 2], "rate": 0.1}, "name": "x", "none": None})
        {'train.seeds': '[1, 2]', 'train.rate': '0.1', 'name': 'x', 'none': 'null'}
    """
    if isinstance(value, Mapping) and value:
        found: dict[str, str] = {}
        for key, one in value.items():
            found |= flat(one, f"{path}.{key}" if path else str(key))
        return found
    return {path: value if isinstance(value, str) else json.dumps(value)}


def final_figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of models, of their seeds together and of their baselines, by `side/split/figure`.

    Example:
        >>> part = {"test": {"auc": 0.8}, "baselines": {"logistic": {"test": {"auc": 0.7}}}}
        >>> final_figures({"ranker": part})
        {'ranker/test/auc': 0.8, 'ranker/logistic/test/auc': 0.7}
    """
    found: dict[str, float] = {}
    for side, part in sides_of(metrics).items():
        seeds = part.get("seeds") or {}
        groups = {side: part, **{f"{side}/{name}": seeds[name] for name in ("mean", "deviation") if name in seeds}}
        groups |= {f"{side}/{name}": one for name, one in part.get("baselines", {}).items()}
        for group, figures in groups.items():
            for split in ("valid", "test"):
                each = figures.get(split) or {}
                known = {name: one for name, one in each.items() if isinstance(one, int | float)}
                found |= {f"{group}/{split}/{name}": float(one) for name, one in known.items()}
    return found


def _param(path: str, value: str) -> Any:
    from mlflow.entities import Param

    return Param(path, value[: mlflow_client.LONGEST_VALUE])
