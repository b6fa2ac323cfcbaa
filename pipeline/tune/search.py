"""The search: trial after trial, each whole on the disk before the next begins."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core import log
from core.dataset import Dataset
from core.errors import UserError
from core.files import hash_json, read_json, remove_temporaries, write_json
from pipeline.hashes import HashCache
from pipeline.lock import locked
from pipeline.plan import data_hash
from pipeline.report.words import plural
from pipeline.runner import Interrupted, Range, execute
from pipeline.spec import RunSpec
from pipeline.stages import Context
from pipeline.track.tracker import settings_of, tracked
from pipeline.tune import results, sampling, trials
from pipeline.tune.space import Config, Goal, size
from pipeline.tune.trainings import Ended, Training
from pipeline.tune.trials import Trial

_log = log.get("tune")
VERSION = 1
IDENTITY = "search.json"
OTHER = frozenset({"trials", "seconds", "keep"})
"""Settings of a search that may change when it goes on."""


@dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        config: The config with its space, which is checked.
        context: The run without changed settings; its `run_dir` is the directory of the search.
        goal: What is wanted.
    """

    config: Config
    context: Context
    goal: Goal

    @property
    def root(self) -> Path:
        """Its directory."""
        return self.context.run_dir

    @property
    def seed(self) -> int:
        """What settings are drawn from."""
        return self.context.spec.seed if self.config.tune.seed is None else self.config.tune.seed

    def run(self) -> list[Trial]:
        """Search, or go on with what was searched before.

        Raises:
            UserError: The directory holds another search, another process works on it, or a trial can't be trained
                for a reason that the others would share.
            Interrupted: The search was interrupted; what is done is kept.
        """
        _require_room(self.root)
        with locked(self.root):
            remove_temporaries(self.root)
            self._recognise()
            return _Running(self, trials.read(self.root)).run()

    def _recognise(self) -> None:
        """See that the trials that lie here are of this very search; before the first one, write down what it is."""
        file, mine = self.root / IDENTITY, self._identity()
        if not file.exists() or not trials.read(self.root):
            write_json(file, {"version": VERSION, "parts": mine})
            return
        value = read_json(file)
        theirs = value.get("parts", {}) if isinstance(value, dict) else {}
        changed = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
        if changed:
            raise UserError(
                f"another search lies here (other {', '.join(changed)}), and trials of both can't be mixed",
                where=str(self.root),
                cure="give this one another name with --set name=..., or remove that directory",
            )

    def _identity(self) -> dict[str, str]:
        """What decides the trials, each part as a hash."""
        cache = HashCache(self.root / ".hashes.json")
        spec, tune = self.context.spec, self.config.tune.model_dump(mode="json")
        parts: dict[str, Any] = {name: value for name, value in tune.items() if name not in OTHER}
        parts |= {"data": data_hash(self.context, cache), "seed": self.seed, "monitor": asdict(self.goal)}
        part = getattr(spec.train, self.goal.side).model_copy(update={"checkpoint_seconds": 0.0})
        parts |= {"settings": {"seed": spec.seed, "etl": _plain(spec.etl), self.goal.side: _plain(part)}}
        cache.save()
        return {name: hash_json(value) for name, value in parts.items()}


class _Running:
    """A search under way."""

    def __init__(self, search: Search, done: Sequence[Trial]) -> None:
        self._search, self._done = search, list(done)
        self._tune, self._goal = search.config.tune, search.goal
        self._size = size(self._tune.space)
        self._data: dict[str, Context] = {}

    def run(self) -> list[Trial]:
        if self._done:
            _log.info("going on after %s", plural(len(self._done), "trial"))
        while not (reason := self._over()):
            self._next()
        _log.info("the search is over: %s", reason)
        self._tidy(end=True)
        self._write()
        return self._done

    def _over(self) -> str:
        """Why no further trial begins; empty while one does."""
        spent = sum(one.seconds for one in self._done)
        tried = {repr(sorted(one.settings.items())) for one in self._done}
        if len(self._done) >= self._tune.trials:
            return f"{len(self._done)} trials"
        if self._tune.seconds is not None and spent >= self._tune.seconds:
            return f"{spent:.0f} of {self._tune.seconds:g} seconds were spent"
        return f"all {self._size} combinations were tried" if self._size == len(tried) else ""

    def _next(self) -> None:
        """One trial, from its settings to its result on the disk."""
        number = len(self._done) + 1
        guess = sampling.guess(
            self._tune,
            self._done,
            seed=self._search.seed,
            number=number,
            monitor=self._goal.monitor,
            larger_is_better=self._goal.larger_is_better,
        )
        _log.info("trial %d of %d: %s", number, self._tune.trials, results.words(guess.settings))
        started = time.monotonic()
        twin = next((one for one in self._done if trials.same(one.settings, dict(guess.settings))), None)
        if twin is not None:
            trial = replace(twin, number=number, seconds=0.0, same_as=twin.same_as or twin.number)
        else:
            ended = self._train(number, guess)
            trial = Trial(number, guess.settings, seconds=round(time.monotonic() - started, 3), **vars(ended))
        trials.write(self._search.root, trial)
        self._done.append(trial)
        _log.info("%s", results.line(self._done, self._goal))
        self._tidy()
        self._write()

    def _train(self, number: int, guess: sampling.Guess) -> Ended:
        try:
            spec = self._search.config.with_settings(guess.settings)
        except UserError as error:
            return Ended("failed", reason=error.what)
        try:
            return self._measure(number, guess, spec)
        except KeyboardInterrupt:
            kept = f"{plural(number - 1, 'trial')} and the last checkpoint of this one are kept"
            told = f"interrupted in trial {number}: {kept}; run the same command to go on"
            raise Interrupted(told) from None
        except UserError as error:
            _log.error("trial %d can't be trained with %s", number, results.words(guess.settings))
            raise error from None

    def _measure(self, number: int, guess: sampling.Guess, spec: RunSpec) -> Ended:
        root = self._search.root
        out = trials.directory(root, number) / self._goal.side
        out.mkdir(parents=True, exist_ok=True)
        training = Training(replace(self._prepared(spec), spec=spec), self._goal)
        with tracked(spec.track, f"{spec.name}-{number}", settings_of(spec), out.parent) as tell:
            ended = training.run(out, guess.hopeless)
            tell({"gyrfalcon.search": root.name, "gyrfalcon.state": ended.state})
        return ended

    def _prepared(self, spec: RunSpec) -> Context:
        """The data set of a trial: one for all trials, or one for each choice of the ETL's settings."""
        search = self._search
        etl = spec.etl.placed(search.config.file.parent)
        placed = spec.model_copy(update={"etl": etl, "tune": None, "track": None})
        key = hash_json(_plain(placed.etl))[:16]
        if key not in self._data:
            context = replace(search.context, spec=placed, run_dir=search.root / "data" / key)
            execute(context, Range(end="etl"))
            _require_same_rows(context.run_dir)
            self._data[key] = context
        return self._data[key]

    def _tidy(self, *, end: bool = False) -> None:
        """Remove the weights of trials that are not the best; at the end also data sets that are not the best's."""
        best = trials.best(self._done, larger_is_better=self._goal.larger_is_better)
        if self._tune.keep == "all":
            return
        for one in self._done:
            if best is None or one.number != best.number:
                shutil.rmtree(trials.directory(self._search.root, one.number) / self._goal.side, ignore_errors=True)
        folders = list((self._search.root / "data").glob("*"))
        if end and best is not None and len(folders) > 1:
            kept = self._prepared(self._search.config.with_settings(best.settings)).run_dir
            for folder in set(folders) - {kept}:
                shutil.rmtree(folder)
                self._data.pop(folder.name, None)

    def _write(self) -> None:
        search = self._search
        results.write(search.root, search.config, self._goal, self._done)


def _require_same_rows(run_dir: Path) -> None:
    """Refuse a choice of features that drops rows: its trials would be judged by other rows."""
    rows = _valid_rows(run_dir)
    for other in run_dir.parent.iterdir():
        if (other / "etl" / "manifest.json").exists() and _valid_rows(other) != rows:
            told = f"{rows:,} validation rows with these settings, {_valid_rows(other):,} with others"
            cure = "leave out of the space what drops rows (filter, dropna), or set it for all trials"
            raise UserError(f"trials would be judged by different rows: {told}", where="tune.space", cure=cure)


def _valid_rows(run_dir: Path) -> int:
    return int(Dataset(run_dir / "etl").manifest()["rows"]["valid"])


def _plain(spec: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = spec.model_dump(mode="json", by_alias=True)
    return found


def _require_room(root: Path) -> None:
    if (root / "manifest.json").exists():
        cure = "give the search another name with --set name=..."
        raise UserError("a run lies where this search would", where=str(root), cure=cure)
