"""The one door to Optuna: which settings to try next, and whether to give a trial up.

A study is built anew for each trial from the trials before it, with a sampler whose seed is that of the search and the
number of the trial. So what is tried next follows from the seed and from what is on the disk alone: a search that was
killed goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import MissingExtra
from pipeline.tune.spec import ChoicesSpec, Dimension, MedianSpec, RangeSpec, TpeSpec, TuneSpec, last
from pipeline.tune.trials import Trial, same

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

DIGITS = 6
"""Significant digits of a number that is tried: settings are for people to read."""


def require() -> None:
    """Fail before any work where Optuna is not there.

    Raises:
        MissingExtra: It can't be imported.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"a search needs Optuna, which can't be imported ({error})",
            where="gyrfalcon tune",
            cure="install it with: pip install --constraint requirements/test.txt optuna",
        ) from None


@dataclass(frozen=True)
class Guess:
    """What to try next.

    Attributes:
        settings: By dotted path.
    """

    settings: Mapping[str, Any]
    _trial: optuna.Trial

    def hopeless(self, epoch: int, figure: float) -> bool:
        """Whether to give the trial up after an epoch; ask once for each epoch."""
        self._trial.report(figure, epoch)
        return bool(self._trial.should_prune())


def guess(
    spec: TuneSpec, trials: Sequence[Trial], *, seed: int, number: int, monitor: str, larger_is_better: bool
) -> Guess:
    """Choose the settings of a trial.

    Args:
        spec: The search.
        trials: Those that are over.
        seed: Of the search.
        number: Of the trial.
        monitor: The figure that is to be good.
        larger_is_better: Which way.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if larger_is_better else "minimize",
        sampler=_sampler(spec, _mixed(seed, number)),
        pruner=_pruner(spec),
    )
    space = {path: _distribution(one) for path, one in spec.space.items()}
    for one in trials:
        study.add_trial(_frozen(one, spec.space, space, monitor))
    trial = study.ask(space)
    return Guess({path: _value(spec.space[path], trial.params[path]) for path in spec.space}, trial)


def _mixed(seed: int, number: int) -> int:
    """A seed of its own for each trial."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4])


def _sampler(spec: TuneSpec, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    if isinstance(spec.sampler, TpeSpec):
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=spec.sampler.startup)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(spec: TuneSpec) -> optuna.pruners.BasePruner:
    import optuna

    if isinstance(spec.pruner, MedianSpec):
        return optuna.pruners.MedianPruner(n_startup_trials=spec.pruner.startup, n_warmup_steps=spec.pruner.warmup)
    return optuna.pruners.NopPruner()


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, ChoicesSpec):
        return CategoricalDistribution(range(len(dimension.choices)))
    high = last(dimension)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(high), dimension.log, int(dimension.step or 1))
    return FloatDistribution(float(dimension.low), float(high), dimension.log, dimension.step)


def _value(dimension: Dimension, drawn: Any) -> Any:
    """What was drawn, as it stands in the config."""
    if isinstance(dimension, ChoicesSpec):
        return dimension.choices[drawn]
    if dimension.whole:
        return int(drawn)
    return min(max(float(f"{drawn:.{DIGITS}g}"), float(dimension.low)), float(last(dimension)))


def _drawn(dimension: Dimension, value: Any) -> Any:
    """What must have been drawn for a value."""
    if isinstance(dimension, RangeSpec):
        return value
    return next(at for at, one in enumerate(dimension.choices) if same(one, value))


def _frozen(
    trial: Trial, dimensions: Mapping[str, Dimension], space: Mapping[str, BaseDistribution], monitor: str
) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    return create_trial(
        state=states[trial.state],
        params={path: _drawn(dimensions[path], trial.settings[path]) for path in space},
        distributions=dict(space),
        value=trial.value if trial.state == "complete" else None,
        intermediate_values=trial.figures(monitor) if trial.state != "failed" else {},
    )
