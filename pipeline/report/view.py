"""What the report shows, as plain values: the template knows nothing of a run's files, the readers nothing of HTML."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Fact:
    """A labelled value; `note` says more in small print."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """One sentence of judgement; `good` is None where nothing was won or lost."""

    text: str
    good: bool | None = None


@dataclass(frozen=True)
class StageRow:
    """One bar of the timeline: start and width in percent of the whole run."""

    name: str
    seconds: str
    rate: str
    note: str
    start: float
    width: float
    skipped: bool = False


@dataclass(frozen=True)
class Share:
    """A value and its share between 0 and 1."""

    name: str
    share: float


@dataclass(frozen=True)
class Shift:
    """How far a split lies from the training rows in one column: PSI, and the other figures in words."""

    name: str
    psi: float
    large: bool
    note: str


@dataclass(frozen=True)
class ProfileRow:
    """One raw column."""

    name: str
    dtype: str
    role: str
    rows: int
    nulls: float
    distinct: int | None
    facts: tuple[Fact, ...] = ()
    spark: Markup | None = None
    top: tuple[Share, ...] = ()
    unseen: tuple[Share, ...] = ()
    shifts: tuple[Shift, ...] = ()
    alone: float | None = None


@dataclass(frozen=True)
class Figure:
    """A drawing with its legend: names of the series s1, s2, ... in order."""

    title: str
    picture: Markup
    legend: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """One number of a table of results."""

    text: str
    best: bool = False
    change: str = ""
    better: bool | None = None
    interval: str = ""


@dataclass(frozen=True)
class ResultRow:
    """One model."""

    name: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class SegmentRow:
    """The model's figures of some users or items; `few` marks those that are too few to say much."""

    by: str
    name: str
    count: str
    few: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ResultTable:
    """Models against baselines on one split; a folded one opens when asked.

    `seeds` has a line for the mean of several seeds, one for their deviation, and one for each.
    """

    title: str
    note: str
    metrics: tuple[Fact, ...]
    rows: tuple[ResultRow, ...]
    words: tuple[Verdict, ...] = ()
    protocol: tuple[str, ...] = ()
    folded: bool = False
    segments: tuple[SegmentRow, ...] = ()
    seeds: tuple[ResultRow, ...] = ()


@dataclass(frozen=True)
class ItemLine:
    """An item as shown: `note` is small print, `later` marks one that the user liked after the training ended."""

    title: str
    note: str = ""
    score: str = ""
    later: bool = False


@dataclass(frozen=True)
class Example:
    """One user: what was liked in training, what is recommended, and what each stage did.

    `liked_of` and `later_of` tell how many items were liked in training and in the test split in all.
    """

    user: str
    facts: tuple[Fact, ...]
    liked: tuple[ItemLine, ...]
    liked_of: int
    recommended: tuple[ItemLine, ...]
    later_of: int
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The whole page; an empty part leaves its section out. `guard` is None where nobody looked for leaks."""

    name: str
    lead: str
    facts: tuple[Fact, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    stages: tuple[StageRow, ...] = ()
    total: str = ""
    profile: tuple[ProfileRow, ...] = ()
    profile_note: str = ""
    drift: tuple[Figure, ...] = ()
    guard: tuple[str, ...] | None = None
    curves: tuple[Figure, ...] = ()
    results: tuple[ResultTable, ...] = ()
    judgement: tuple[Figure, ...] = ()
    examples: tuple[Example, ...] = ()
    examples_note: str = ""
    config: str = ""
    versions: tuple[Fact, ...] = ()
