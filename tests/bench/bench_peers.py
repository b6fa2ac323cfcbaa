"""Training beside other libraries: peer and we in turn, in one run, on the same rows, settings and machine.

    GYRFALCON_PEERS=DIR make bench-train                    all of it, about 40 minutes, into docs/train_figures.md
    make bench-train                                        without peers: ours, and the usual step in this repository
    make bench-train ARGS="--only 'dlrm|limit'"             some of it
    make bench-train ARGS="--rows 20000 --page none"        a look whether everything runs

GYRFALCON_PEERS is a folder with the peers' scripts: `make_criteo_like.py`, `bench_fuxictr.py` and so on, each of which
prints one line of JSON; their environments and rows go to PEERS_HOME, by default `peers` in the folder of results.
GYRFALCON_REAL_DATA holds `amazon-beauty-5core/interactions.parquet`; without it SASRec is left out.

Each command is a process of its own. What it said is kept in `results.jsonl` of `--folder`; a run that was cut goes on
where it was, and `--afresh` begins again. A command that fails or takes too long is told, and the rest goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.train.page import MODES, MORE, SAME, write
from tests.bench.train.turns import ROOT, Results, Turn, ours

HERE = Path(__file__).parent / "train"
PAGE = ROOT / "docs" / "train_figures.md"
FOLDER = Path(tempfile.gettempdir()) / "gyrfalcon-bench-train"
SEEDS = (2026, 1, 2)


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        folder: For rows and results.
        peers: The folder of their scripts; None: there is none.
        beauty: Amazon Beauty's interactions; None: they aren't there.
        rows: Training rows; None: a million, as the peers' script makes them.
        threads: Of every side.
    """

    folder: Path
    peers: Path | None
    beauty: Path | None
    rows: int | None
    threads: int

    @property
    def home(self) -> Path:
        """Where peers keep their things; rows of another number have a place of their own."""
        named = os.environ.get("PEERS_HOME")
        return Path(named) if named and self.rows is None else self.folder / f"peers-{self.rows or 'all'}"

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """Training rows, rows that judge, and where to keep what is made of them."""
        rows = self.home / "data" / "criteo" if self.peers else self.folder / f"rows-{self.rows or 'all'}"
        return rows / "train.parquet", rows / "valid.parquet", self.home

    def peer(self, words: str, *, folder: Path | None = None, timeout: float = 900.0) -> Turn:
        """A script of the peers, or one of `folder` that needs theirs."""
        assert self.peers is not None
        name, *arguments = words.split()
        env = {"PEERS_HOME": str(self.home), "PEERS_THREADS": str(self.threads), "GYRFALCON_PEERS": str(self.peers)}
        if self.beauty:
            env["PEERS_BEAUTY"] = str(self.beauty.parent)
        script = (folder or self.peers) / f"{name}.py"
        python = shutil.which("python3") or sys.executable
        return Turn(f"peer {words}", [python, str(script), *arguments], env, timeout)

    def ours(self, key: str, module: str, *arguments: object, timeout: float = 900.0) -> Turn:
        """A side of ours."""
        return ours(key, module, *arguments, "--threads", self.threads, timeout=timeout)


def turns(plan: Plan) -> Iterator[Turn]:
    """Everything, peers and ours in turn."""
    files = plan.files
    yield plan.ours("limit before", "limit")
    yield plan.ours("usual", "usual")
    for job, (_, peers) in SAME.items():
        yield from (plan.peer(one) for one in (peers if plan.peers else ()))
        for mode in MODES:
            yield plan.ours(f"ours {job} {mode} seed {SEEDS[0]}", "ctr", job, mode, *files)
    if plan.peers:
        yield plan.peer("bench_nvtabular")
        yield from (plan.peer(f"bench_loader {which}") for which in ("arrow", "memory", "merlin"))
    yield plan.ours("ours loader", "loading", *files)
    yield from _sasrec(plan)
    yield plan.ours("growth", "growth", *(() if plan.rows is None else ("--small",)), timeout=1800)
    yield plan.ours("limit after", "limit")
    for job, (_, peers) in MORE.items():
        yield from (plan.peer(one, folder=HERE) for one in (peers if plan.peers else ()))
        yield plan.ours(f"ours {job} fp32 seed {SEEDS[0]}", "ctr", job, "fp32", *files)
    # Last, since it is long and no time is taken from it: what bfloat16 and compiling do to the AUC.
    for job in ("dcn_v2-429", "deepfm-429", "dlrm"):
        for seed in SEEDS[1:]:
            for mode in ("fp32", "bf16", "bf16+compile"):
                yield plan.ours(f"ours {job} {mode} seed {seed}", "ctr", job, mode, *files, "--seed", seed)


def _sasrec(plan: Plan) -> Iterator[Turn]:
    if plan.beauty is None:
        return
    if plan.peers:
        yield plan.peer("bench_recbole SASRec --data beauty --epochs 1", timeout=1800)
    few = () if plan.rows is None else ("--users", plan.rows // 10)
    yield plan.ours("ours sasrec", "sasrec", plan.beauty, *few)


def rows(plan: Plan) -> Turn | None:
    """What makes the rows, where they aren't there; None: they are."""
    train, valid, _ = plan.files
    if train.exists() and valid.exists():
        return None
    if plan.peers:
        sizes = "" if plan.rows is None else f" {plan.rows} {plan.rows // 5}"
        return plan.peer(f"make_criteo_like{sizes}")
    return ours("rows", "data", train.parent, plan.rows or 1_000_000)


def plan_of(folder: Path, *, rows: int | None = None, threads: int = 2) -> Plan:
    """What is asked for, by arguments and environment; what is left out is told."""
    named, data = os.environ.get("GYRFALCON_PEERS"), os.environ.get("GYRFALCON_REAL_DATA")
    peers = Path(named).resolve() if named else None
    if peers is None:
        print("GYRFALCON_PEERS names no folder with the peers' scripts: ours and the usual step alone")
    elif not (peers / "make_criteo_like.py").exists():
        sys.exit(f"{peers} (GYRFALCON_PEERS) holds no make_criteo_like.py")
    beauty = Path(data).resolve() / "amazon-beauty-5core" / "interactions.parquet" if data else None
    if beauty is None or not beauty.exists():
        print("GYRFALCON_REAL_DATA holds no amazon-beauty-5core/interactions.parquet: SASRec is left out")
        beauty = None
    return Plan(folder.resolve(), peers, beauty, rows, threads)


def take(results: Results, plan: Plan, *, only: str, page: Path | None = None) -> None:
    """Run the commands whose names match, and write the page after each result."""
    making = rows(plan)
    if making is not None:
        results.found.pop(making.key, None)
        results.take([making])
        if making.key not in results.found:
            sys.exit("there are no rows to learn from")
    for turn in turns(plan):
        if re.search(only, turn.key):
            results.take([turn])
            write(results.found, page)


def main() -> None:
    """Run what is asked for and write the page after each result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", default="", help="a pattern that the name of a command must match")
    parser.add_argument("--rows", type=int, help="training rows, to see whether everything runs; never for figures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--afresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--page", default=str(PAGE), help="where the figures go; none: they are printed alone")
    asked = parser.parse_args()
    plan = plan_of(asked.folder, rows=asked.rows, threads=asked.threads)
    plan.folder.mkdir(parents=True, exist_ok=True)
    file = plan.folder / f"results{'' if plan.rows is None else f'-{plan.rows}'}.jsonl"
    if asked.afresh:
        file.unlink(missing_ok=True)
    results = Results(file)
    page = None if asked.page == "none" or plan.rows is not None else Path(asked.page)
    take(results, plan, only=asked.only, page=page)
    print(json.dumps({"results": str(file), "page": str(page)}))
    print(write(results.found, page))


if __name__ == "__main__":
    main()
