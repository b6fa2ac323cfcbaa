"""The configs that published figures exist for, each run once to its test figures, beside what was published.

    GYRFALCON_REAL_DATA=DIR make bench-accuracy                       all of it: hours
    GYRFALCON_REAL_DATA=DIR make bench-accuracy ARGS="-k beauty"      some of it
    make bench-accuracy ARGS=--show                                   what was found so far, running nothing

GYRFALCON_REAL_DATA is a folder with `amazon-beauty-5core` and `gowalla-lightgcn`, each with `interactions.parquet`.
The configs on Criteo's columns are judged by FuxiCTR's same model on the same rows, one epoch each, which needs
GYRFALCON_PEERS as in `make bench-train`, whose results are used where they exist.

The test split is for one look: a result is kept in `accuracy.jsonl` of `--folder` with a hash of the settings it came
from. A config that has not changed is not run again, and one that has is refused: choose by the validation split.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import bench_peers
from tests.bench.train.page import replaced, table
from tests.bench.train.turns import ROOT, Results, ours

MARGIN = 0.0005
"""How much lower than FuxiCTR's our AUC may be: three deviations between seeds on the public leaderboard."""
Figures = Mapping[str, float]


@dataclass(frozen=True)
class Case:
    """A config and what it is held against.

    Attributes:
        config: Its name.
        data: The folder with its data in GYRFALCON_REAL_DATA; empty: it fetches them itself.
        published: What its source reports.
        floor: What it should reach.
        hours: After which it is stopped; it goes on from there the next time.
    """

    config: str
    data: str
    published: Figures
    floor: Figures
    hours: float = 1.0


def pair(k: int, recall: float, ndcg: float) -> Figures:
    """Recall and NDCG; with one item to be found the recall is the hit rate."""
    return {f"recall@{k}": recall, f"ndcg@{k}": ndcg}


BEAUTY, GOWALLA = "amazon-beauty-5core", "gowalla-lightgcn"
CASES = (
    Case("beauty_sasrec", BEAUTY, pair(10, 0.0605, 0.0318), pair(10, 0.085, 0.050)),
    Case("beauty_gru4rec", BEAUTY, pair(10, 0.0283, 0.0137), pair(10, 0.060, 0.033)),
    Case("beauty_bert4rec", BEAUTY, pair(10, 0.0347, 0.0170), pair(10, 0.060, 0.033)),
    Case("gowalla_ease", GOWALLA, pair(20, 0.1765, 0.1467), pair(20, 0.1745, 0.1447)),
    Case("gowalla_bpr", GOWALLA, pair(20, 0.1627, 0.1378), pair(20, 0.1607, 0.1358)),
    Case("gowalla_lightgcn", GOWALLA, pair(20, 0.1830, 0.1554), pair(20, 0.1810, 0.1534), hours=3.0),
    Case("ml100k_bpr", "", pair(10, 0.237, 0.277), pair(10, 0.24, 0.28)),
    Case("ml100k_multvae", "", {}, {}),
    Case("ml100k_neumf", "", {}, {}),
)
CRITEO = {
    "criteo_dcn_v2": ("dcn_v2-624", "bench_fuxictr DCNv2"),
    "criteo_deepfm": ("deepfm-624", "bench_fuxictr DeepFM"),
    "criteo_dlrm": ("dlrm", "bench_fuxictr DLRM"),
    "criteo_wide_deep": ("wide_deep", "fuxictr_more WideDeep"),
    "criteo_xdeepfm": ("xdeepfm", "fuxictr_more xDeepFM"),
}
"""Name of a config -> our job and the peers' command with the same model and sizes."""


class Refused(Exception):
    """The test split has been read with other settings."""


def overrides(case: Case, data: Path | None) -> list[str] | None:
    """What the config is told about its data; None: they aren't there."""
    if not case.data:
        return []
    file = data / case.data / "interactions.parquet" if data else None
    return [f"data.interactions.path={file}"] if file is not None and file.exists() else None


def settings(case: Case) -> str:
    """A hash of what the config says, without comments and empty lines."""
    lines = (ROOT / "configs" / f"{case.config}.yaml").read_text().splitlines()
    said = "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def run(case: Case, results: Results, data: Path | None, runs: Path) -> None:
    """Run a config, unless it was run before with these settings.

    Raises:
        Refused: It was run with others.
    """
    now, key = settings(case), f"config {case.config}"
    before = results.found.get(key)
    if before is not None and before["settings"] != now:
        raise Refused(
            f"{case.config}: its test split was read on {before['when']} with other settings (kept in the results). "
            "Choose settings by the validation split; to read the test split again, give another --folder and say so"
        )
    told = overrides(case, data)
    if before is None and told is None:
        print(f"{case.config}: skipped, GYRFALCON_REAL_DATA holds no {case.data}/interactions.parquet", flush=True)
    elif told is not None:
        arguments = [case.config, runs / now, *told]
        results.take([ours(key, "accuracy", *arguments, timeout=3600 * case.hours)], settings=now)


def figures(found: Mapping[str, Any]) -> tuple[str, dict[str, float], dict[str, float]]:
    """The model, its test figures and its validation figures; where a run has both sides, the one with lists."""
    groups = found["groups"]
    group = groups.get("retriever") or groups["ranker"]
    return group["model"], group["test"], group.get("valid", {})


def verdict(test: Mapping[str, float], floor: Figures) -> str:
    """Whether every figure reaches what it should."""
    if not floor:
        return "no published figure"
    short = [f"{name} by {floor[name] - test[name]:.4f}" for name in floor if test[name] < floor[name]]
    return f"**short**: {', '.join(short)}" if short else "reached"


def lines(results: Results) -> Iterator[list[object]]:
    """A line of the table for each config that was run."""
    for case in CASES:
        found = results.found.get(f"config {case.config}")
        if found is None:
            continue
        model, test, valid = figures(found)
        names = list(case.floor) or [name for name in test if re.match(r"(recall|ndcg|auc)(@10)?$", name)]
        told = [
            " / ".join(f"{values[name]:.4f}" for name in names if name in values)
            for values in (test, valid, case.published, case.floor)
        ]
        minutes = sum(found["seconds"].values()) / 60
        yield [case.config, model, " / ".join(names), *told, f"{minutes:.1f} min", verdict(test, case.floor)]


def criteo(results: Results) -> Iterator[list[object]]:
    """The same for the configs that a peer's AUC judges."""
    for config, (job, peer) in CRITEO.items():
        mine = results.found.get(f"ours {job} fp32 seed {bench_peers.SEEDS[0]}")
        theirs = results.found.get(f"peer {peer}")
        if mine is None or theirs is None:
            continue
        auc, other = mine["valid_auc"], theirs["valid_auc"]
        told = "reached" if auc >= other - MARGIN else f"**short**: auc by {other - MARGIN - auc:.4f}"
        minutes = f"{mine['train_s'] / 60:.1f} min"
        yield [config, job, "auc", f"{auc:.4f}", "", f"{other:.4f} (FuxiCTR)", f"{other - MARGIN:.4f}", minutes, told]


def page(results: Results, beside: Results, file: Path | None) -> str:
    """The table so far; into the page too, if there is one."""
    head = ["config", "model", "figure", "test", "valid", "published", "to be reached", "time", "verdict"]
    text = table(head, [*lines(results), *criteo(beside)]) or "Nothing was run yet."
    if file is not None:
        replaced(file, "accuracy", text)
    return text


def main() -> None:
    """Run what is asked for; print and write the table after each config."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", dest="only", help="a pattern that the name of a config must match")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "gyrfalcon-bench-accuracy")
    parser.add_argument("--peers-folder", type=Path, default=bench_peers.FOLDER, help="that of `make bench-train`")
    parser.add_argument(
        "--page", default=str(bench_peers.PAGE), help="where the figures go; none: they are printed alone"
    )
    parser.add_argument("--show", action="store_true", help="run nothing")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    named = os.environ.get("GYRFALCON_REAL_DATA")
    data = Path(named).resolve() if named else None
    results, beside = Results(asked.folder / "accuracy.jsonl"), Results(asked.peers_folder / "results.jsonl")
    file, refused = None if asked.page == "none" else Path(asked.page), []
    for case in CASES:
        if asked.show or not re.search(asked.only, case.config):
            continue
        try:
            run(case, results, data, asked.folder.resolve() / "runs")
        except Refused as error:
            refused.append(str(error))
            print(error, flush=True)
        page(results, beside, file)
    jobs = [job for config, (job, _) in CRITEO.items() if re.search(asked.only, config)]
    chosen = "|".join(re.escape(f"ours {job} fp32 seed {bench_peers.SEEDS[0]}") for job in jobs)
    if chosen and not asked.show and os.environ.get("GYRFALCON_PEERS"):
        models = "|".join(f"peer {peer}$" for job, peer in CRITEO.values() if job in jobs)
        asked.peers_folder.mkdir(parents=True, exist_ok=True)
        bench_peers.take(beside, bench_peers.plan_of(asked.peers_folder), only=f"{chosen}|{models}")
    print(page(results, beside, file))
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
