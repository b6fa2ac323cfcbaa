"""The figures as Markdown, put between two marks of a page; what stands around them is written by hand."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

Found = Mapping[str, Mapping[str, Any]]
SAME = {
    "dcn_v2-429": ("DCN-v2, numbers as they are (width 429)", ("bench_deepctr DCNv2", "bench_rechub DCNv2")),
    "dcn_v2-624": ("DCN-v2, numbers as vectors (width 624)", ("bench_fuxictr DCNv2",)),
    "deepfm-429": ("DeepFM, numbers as they are (width 429)", ("bench_deepctr DeepFM", "bench_rechub DeepFM")),
    "deepfm-624": ("DeepFM, numbers as vectors (width 624)", ("bench_fuxictr DeepFM",)),
    "dlrm": ("DLRM", ("bench_fuxictr DLRM",)),
}
"""Our job -> what it is, and the peers' commands that do the same."""
MORE = {
    "logistic": ("logistic regression", ("fuxictr_more LR",)),
    "fm": ("FM", ("fuxictr_more FM",)),
    "wide_deep": ("Wide & Deep, 400 x 3", ("fuxictr_more WideDeep",)),
    "dcn": ("DCN, 3 cross layers, 400 x 3", ("fuxictr_more DCN",)),
    "xdeepfm": ("xDeepFM, maps 64 x 2, 400 x 3", ("fuxictr_more xDeepFM",)),
}
"""The same of models whose AUC alone matters here: float32 only."""
MODES = ("fp32", "bf16", "fp32+compile", "bf16+compile")
BAYES = "oracle_auc_valid"
"""How the peers' script calls the AUC of the probabilities that the labels were drawn from."""


def write(found: Found, page: Path | None) -> str:
    """The tables of what was measured so far; into the page too, if there is one."""
    parts = [machine(found), rankers(found), seeds(found), sasrec(found), loaders(found), growth(found), usual(found)]
    text = "\n\n".join(part for part in parts if part)
    if page is not None:
        replaced(page, "figures", text)
    return text


def replaced(page: Path, part: str, text: str) -> None:
    """Put a text between the marks of a part of a page, at its end where it has none."""
    start, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    old = page.read_text() if page.exists() else "# Training figures\n"
    if start not in old:
        old = f"{old}\n{start}\n{end}\n"
    page.write_text(re.sub(f"{start}.*{end}", lambda _: f"{start}\n\n{text}\n\n{end}", old, flags=re.DOTALL))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; empty without rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def machine(found: Found) -> str:
    """Where and when, and how fast it multiplies matrices."""
    days = sorted(str(one["when"]) for one in found.values() if "when" in one)
    if not days:
        return ""
    told = [f"Measured {days[0]} to {days[-1]} UTC, {_processor()}, {_memory()} GB of memory."]
    for key, when in (("limit before", "before"), ("limit after", "after")):
        if key in found:
            one = found[key]
            told.append(
                f"Matrix products {when}, GFLOP/s: float32 {one['fp32_gflops']:,.0f} by torch's default, "
                f"{one['fp32_ours_gflops']:,.0f} in our trainings ({one['arithmetic']}), "
                f"bfloat16 {one['bf16_gflops']:,.0f}."
            )
    loads = [float(one["load_before"]) for one in found.values() if "load_before" in one]
    told.append(f"Load before each command: {min(loads):.1f} to {max(loads):.1f}.")
    bayes = next((one[name] for one in found.values() for name in (BAYES, "bayes_auc") if name in one), None)
    if bayes is not None:
        told.append(f"AUC of the probabilities that the labels were drawn from: {bayes:.4f}.")
    return "\n".join(told)


def rankers(found: Found) -> str:
    """Each job: peers, then our modes, and how many times the best peer they are."""
    rows = []
    for job, (title, peers) in {**SAME, **MORE}.items():
        theirs = [one for name in peers if (one := found.get(f"peer {name}"))]
        best = max((_rate(one) for one in theirs), default=None)
        auc = max((float(one["valid_auc"]) for one in theirs), default=None)
        rows += [[title, f"{one['peer']} {one['version']}", *_cells(one), "", "", ""] for one in theirs]
        for mode in MODES:
            one = found.get(f"ours {job} {mode} seed 2026")
            if one is None:
                continue
            times = "" if best is None else f"**{_rate(one) / best:.1f}**"
            apart = "" if auc is None else f"{one['valid_auc'] - auc:+.4f}"
            rows.append([title, f"ours, {mode}", *_cells(one), times, apart, f"{one['share_of_limit']:.0%}"])
    head = [
        "job",
        "side",
        "samples/s",
        "of whole epoch",
        "AUC",
        "log loss",
        "times best peer",
        "AUC - best peer's",
        "of limit",
    ]
    made = table(head, rows)
    if not made:
        return ""
    peers = any(name.startswith("peer ") for name in found)
    title = "26 tables with 2 million rows x 16" if peers else "generated rows, embeddings of 16"
    return f"## Rankers: {title}, batch 4096, one epoch\n\n{made}\n\n{_RANKERS}"


_RANKERS = (
    "samples/s: rows a second without the first 21 steps and the last, the rate that `times best peer` compares; `of "
    "whole epoch` counts everything between the first batch asked for and the last step, compiling too. `of limit`: "
    "what the matrix products of forward and backward need at the rate that this process measured for large ones in "
    "the same precision, as a share of the time of a step; the rest of the step is what bounds it."
)


def _rate(one: Mapping[str, Any]) -> float:
    return float(one.get("steady_samples_per_s") or one["samples_per_s"])


def _cells(one: Mapping[str, Any]) -> list[str]:
    loss = one.get("valid_logloss")
    told = "-" if loss is None else f"{loss:.4f}"
    return [f"{_rate(one):,.0f}", f"{one['samples_per_s']:,.0f}", f"{one['valid_auc']:.4f}", told]


def seeds(found: Found) -> str:
    """What bfloat16 and compiling do to the AUC, where there are several seeds."""
    rows = []
    for job, (title, _) in SAME.items():
        by_mode = {}
        for mode in MODES:
            keys = [key for key in found if key.startswith(f"ours {job} {mode} seed ")]
            by_mode[mode] = {key.rsplit(" ", 1)[1]: float(found[key]["valid_auc"]) for key in keys}
        base = by_mode["fp32"]
        for mode, auc in by_mode.items():
            both = sorted(auc.keys() & base.keys())
            if len(both) < 2:
                continue
            apart = [auc[seed] - base[seed] for seed in both]
            values = [auc[seed] for seed in both]
            told = "" if mode == "fp32" else f"{mean(apart):+.5f} ± {stdev(apart):.5f}"
            rows.append([title, mode, len(both), f"{mean(values):.4f} ± {stdev(values):.4f}", told])
    made = table(["job", "mode", "seeds", "AUC", "less fp32, seed by seed"], rows)
    return f"## What bfloat16 and compiling do to the AUC\n\n{made}" if made else ""


def sasrec(found: Found) -> str:
    """An epoch and the full ranking."""
    ours, theirs = found.get("ours sasrec"), found.get("peer bench_recbole SASRec --data beauty --epochs 1")
    if ours is None:
        return ""
    rows: list[list[str]] = []
    if theirs is not None:
        cells = [f"{theirs['epoch_s']:.1f}", f"{theirs['test_eval_s']:.2f}", f"{theirs['train_examples']:,}"]
        rows.append(["RecBole 1.2.1", *cells, f"{theirs['peak_rss_mb']:,}", ""])
    times = ""
    if theirs is not None:
        epoch, ranking = (theirs[name] / ours[name] for name in ("epoch_s", "test_eval_s"))
        times = f"epoch **{epoch:.0f}**, ranking **{ranking:.1f}**"
    cells = [f"{ours['epoch_s']:.1f}", f"{ours['test_eval_s']:.2f}", f"{ours['predictions']:,}"]
    rows.append(["ours", *cells, f"{ours['peak_rss_mb']:,}", times])
    made = table(["side", "epoch s", "full ranking s", "predictions an epoch", "peak MB", "times less time"], rows)
    return (
        f"## SASRec on Amazon Beauty: 64 wide, 2 blocks of 2 heads, 256 inside, whole catalogue in the loss\n\n{made}"
    )


def loaders(found: Found) -> str:
    """Rows a second of loaders alone."""
    rows: list[list[str]] = []
    peers = {
        "arrow": "Arrow, not shuffled",
        "memory": "gather from a table in memory",
        "merlin": "Merlin 23.8, shuffled",
    }
    for which, title in peers.items():
        one = found.get(f"peer bench_loader {which}")
        if one is not None:
            rows.append([title, f"{one['samples_per_s']:,.0f}", ""])
    merlin = found.get("peer bench_loader merlin")
    ours = found.get("ours loader")
    for kind, rate in ours["rows_per_s"].items() if ours else ():
        words = {"plain": "", "list": ", and a list of 5 ids", "history": ", and a history of 10 items"}[kind]
        times = "" if merlin is None else f"{rate / merlin['samples_per_s']:.1f}"
        rows.append([f"ours, shuffled, from Parquet{words}", f"{rate:,.0f}", times])
    made = table(["loader, 39 columns, batch 4096", "rows/s", "times Merlin's"], rows)
    return f"## Loaders alone\n\n{made}" if made else ""


def growth(found: Found) -> str:
    """Cost as things grow."""
    one = found.get("growth")
    if one is None:
        return ""
    names = {"rows": "rows", "vocabulary": "ids", "catalogue": "items"}
    rows = [
        [
            f"{case['size']:,} {names[case['what']]}",
            {"dlrm": "DLRM", "full": "SASRec, whole catalogue", "sampled": "SASRec, 256 negatives"}[case["which"]],
            f"{case['seconds']:.2f} s an epoch" if case["per"] == "epoch" else f"{1e3 * case['seconds']:.0f} ms a step",
            f"{case['peak_rss_mb']:,}",
        ]
        for case in one["cases"]
    ]
    return f"## Cost as it grows\n\n{table(['size', 'training', 'time', 'peak MB'], rows)}"


def usual(found: Found) -> str:
    """The comparison that needs no peer."""
    one = found.get("usual")
    if one is None:
        return ""
    names = [name for name in one if name in ("usual dlrm", "dlrm", "dcn_v2")]
    rows = [
        [name, f"{one[name]:,.0f}", f"{one[f'{name} / usual']:.1f}" if f"{name} / usual" in one else ""]
        for name in names
    ]
    made = table(["step, float32, batches in memory", "samples/s", "times the usual DLRM"], rows)
    return f"## The usual DLRM (a table a feature, dense gradients, Adam) in one process with ours\n\n{made}"


def _processor() -> str:
    cores = os.cpu_count()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{cores} cores"
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{cores} cores of {name or 'an unnamed processor'}"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}"
    except (ValueError, OSError):
        return "?"
