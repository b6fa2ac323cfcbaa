"""What an evaluation tells of one side: figures with intervals, segments, differences to baselines, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from train.evaluation.intervals import Replicates, replicate
from train.evaluation.sample import Part, Sample
from train.evaluation.verdicts import verdicts

Key = tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """One model on one split.

    Attributes:
        whole: Its figures.
        parts: Those of segments, by what tells them apart and by name.
    """

    whole: Part
    parts: Mapping[tuple[str, str], Part]


@dataclass(frozen=True)
class Found:
    """All of one side.

    Attributes:
        metrics: What stands under its side in `metrics.json`.
        verdicts: One sentence a rival and deciding figure.
        protocol: What the figures mean.
        samples: What each user adds, by side, model and split.
        curves: What a report draws.
    """

    metrics: dict[str, Any]
    verdicts: list[str]
    protocol: list[str]
    samples: dict[tuple[str, str, str], Sample]
    curves: dict[str, Any] = field(default_factory=dict)
    further: Mapping[str, Found] = field(default_factory=dict)
    """What was found of further targets, by their names; `metrics` hold theirs under `targets`."""


@dataclass(frozen=True)
class Question:
    """What is asked of a side.

    Attributes:
        side: `ranker`, `retriever` or `catalogue`.
        model: The model that is judged; the others are its rivals.
        decisive: Figures that verdicts are given on: 1 where more is better, -1 where less is.
        confidence: Of the intervals.
        protocol: What the figures mean.
        who: What verdicts call the model; by default its side and name.
    """

    side: str
    model: str
    decisive: Mapping[str, int]
    confidence: float
    protocol: Sequence[str]
    who: str | None = None

    def answer(self, judged: Mapping[str, Mapping[str, Judged]], curves: dict[str, Any] | None = None) -> Found:
        """Tell what was found.

        Args:
            judged: By split and model; all models of a split were asked of the same users.
            curves: What a report draws.
        """
        figures: dict[str, dict[str, Any]] = {}
        gaps: dict[str, dict[str, Any]] = {}
        for split, models in judged.items():
            replicates = _replicates(models)
            for name, one in models.items():
                figures.setdefault(name, {})[split] = self._told(name, one, replicates)
                if name != self.model and (name,) in replicates:
                    apart = replicates[self.model,].against(replicates[name,], self.confidence)
                    gaps.setdefault(name, {})[split] = apart
        own = figures.pop(self.model, {})
        metrics = {"model": self.model, **own, "baselines": figures, "differences": gaps}
        who = self.who or f"{self.side} {self.model}"
        kept: dict[tuple[str, str, str], Sample] = {}
        for split, models in judged.items():
            kept |= {(self.side, name, split): one.whole.sample for name, one in models.items() if one.whole.sample}
        told = verdicts(who, own, figures, self.decisive, gaps=gaps, confidence=self.confidence)
        return Found(metrics, told, list(self.protocol), kept, curves or {})

    def _told(self, name: str, one: Judged, replicates: Mapping[Key, Replicates]) -> dict[str, Any]:
        found: dict[str, Any] = self._with_intervals(one.whole.figures, replicates.get((name,)))
        segments: dict[str, dict[str, Any]] = {}
        for (by, part), each in one.parts.items():
            told = self._with_intervals(each.figures, replicates.get((name, by, part)))
            segments.setdefault(by, {})[part] = told
        return found | ({"segments": segments} if segments else {})

    def _with_intervals(self, figures: Mapping[str, float], replicates: Replicates | None) -> dict[str, Any]:
        more = {} if replicates is None else {"intervals": replicates.intervals(self.confidence)}
        return {**figures, **more}


def _replicates(models: Mapping[str, Judged]) -> dict[Key, Replicates]:
    """Replicates of every figure of a split, from one set of draws."""
    samples: dict[Key, Sample] = {}
    for name, one in models.items():
        whole = one.whole.sample
        if whole is None:
            continue
        samples[name,] = whole
        parts = {(name, *key): part.sample for key, part in one.parts.items()}
        samples |= {key: sample.over(whole.user_Q) for key, sample in parts.items() if sample is not None}
    return replicate(samples)
