"""Runs NVTabular in whatever Python holds it: a script of its own, driven line by line through its standard input.

It imports nothing of this project and keeps to Python 3.8, since NVTabular's containers hold no newer one than 3.10.
Each line is a request in JSON, each line of the answer `{"ok": ...}` or `{"error": "..."}`:

    {"do": "fit", "steps": [...], "outputs": PARTS, "rows": FILE}         -> number of a step -> what it learned
    {"do": "transform", "rows": FILE, "keep": [...], "out": DIRECTORY, "new": true}    -> null

A step is `{"number": "3", "name": "Clip", "args": [], "kwargs": {}, "inputs": PARTS, "out_path": DIRECTORY}`. PARTS say
where columns come from: `[["", [names]], ["2", [names] or null]]`, raw columns and outputs of step 2, null for all.
Its outputs can be `"renamed": {name: new name}`; those of a step `"beside": true` go nowhere, it only learns.
"""

from __future__ import annotations

import functools
import json
import logging
import operator
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from typing import Any

SCRATCH = "gyrfalcon-nvtabular-"
"""How the directory begins that whoever starts this makes for it, and that is its current one."""
PART = "256MB"
"""Of a partition. NVTabular fits partition by partition; a median over several is approximate."""
LEARNED = ("categories", "means", "medians", "stds", "mins", "maxs", "ranges", "stats")
"""Attributes in which its operators keep what they learned: column -> numbers or files."""


class Worker:
    """One workflow: fitted once, then applied."""

    def __init__(self) -> None:
        import nvtabular
        from nvtabular.workflow.node import WorkflowNode

        self.nvtabular, self.new_node = nvtabular, WorkflowNode
        self.nodes: dict[str, Any] = {}
        self.operators: dict[str, Any] = {}
        self.outputs: list[Any] = []

    def fit(self, steps: list[dict[str, Any]], outputs: list[Any], rows: str) -> dict[str, Any]:
        """Build the graph and learn from the rows of a file."""
        self.nodes, self.operators, beside = {}, {}, []
        for step in steps:
            node = self.step(step)
            if step.get("beside"):
                # Under names of their own: two outputs of one name can't be put side by side.
                beside.append(node >> self.nvtabular.ops.Rename(postfix=" " + step["number"]))
            self.nodes[step["number"]] = node
        self.outputs = outputs
        whole = functools.reduce(operator.add, beside, self.node(outputs))
        self.nvtabular.Workflow(whole).fit(self.dataset(rows))
        return {number: learned(made) for number, made in self.operators.items()}

    def step(self, step: dict[str, Any]) -> Any:
        """The node of a step."""
        made = getattr(self.nvtabular.ops, step["name"])(*step["args"], **step["kwargs"])
        # Two operators over one column would write the same file, and the default is the current directory.
        if hasattr(made, "out_path"):
            made.out_path = step["out_path"]
        self.operators[step["number"]] = made
        node, names = self.node(step["inputs"]) >> made, step.get("renamed")
        return node >> self.nvtabular.ops.Rename(f=lambda name: names.get(name, name)) if names else node

    def transform(self, rows: str, keep: list[str], out: str, new: bool) -> None:
        """Apply to the rows of a file; `keep` are columns to pass on as they are.

        New rows are encoded by all rows of the fit, as its documentation says; without that, by those of some fold.
        """
        folds = {made: made.kfold for made in self.operators.values() if hasattr(made, "kfold")}
        try:
            for made in folds if new else ():
                made.kfold = 1
            data = self.dataset(rows)
            # Made anew each time: `+` changes a node that is a sum.
            node = self.node([*self.outputs, ["", keep]] if keep else self.outputs)
            self.nvtabular.Workflow(node).fit_schema(data.schema).transform(data).to_parquet(out)
        finally:
            for made, kfold in folds.items():
                made.kfold = kfold

    def node(self, parts: list[Any]) -> Any:
        """One node that gives the columns of all parts."""
        return functools.reduce(operator.add, [self.part(place, names) for place, names in parts])

    def part(self, place: str, names: list[str] | None) -> Any:
        """A node with these columns of one place."""
        if not place:
            return self.new_node(self.nvtabular.ColumnSelector(names))
        return self.nodes[place] if names is None else self.nodes[place][names]

    def dataset(self, path: str) -> Any:
        """A Parquet file as NVTabular reads it; on the GPU where it finds one."""
        return self.nvtabular.Dataset(path, engine="parquet", part_size=PART)


def learned(made: Any) -> dict[str, Any]:
    """What an operator learned, in plain values."""
    found = {name: getattr(made, name, None) for name in LEARNED}
    return {name: plain(value) for name, value in found.items() if isinstance(value, dict)}


def plain(value: Any) -> Any:
    """Paths, numbers and what holds them, as JSON can hold them."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, (str, os.PathLike)) else float(value)


def words(error: BaseException) -> str:
    """The message of an error and of what it came from."""
    found = [one for one in (error, error.__cause__) if one is not None]
    return " ".join(" from ".join(f"{type(one).__name__}: {one}" for one in found).split())[:300]


def end_with(parent: int) -> None:
    """End once the process that started this one is gone: killed, it sends no word, and a fit may take an hour."""
    while os.getppid() == parent:
        time.sleep(0.5)
    here = os.getcwd()  # noqa: PTH109 - strings are what the rest takes
    if os.path.basename(here).startswith(SCRATCH):  # noqa: PTH119
        shutil.rmtree(here, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Answer requests until there are no more."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - strings are what sys.path holds
    sys.path[:] = [place for place in sys.path if place != here]  # it holds modules with common names
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)

    def answer(**value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        worker = Worker()
    except Exception as error:  # noqa: BLE001 - whatever keeps it from being imported
        answer(error=words(error))
        return
    answer(ok=worker.nvtabular.__version__)
    does: dict[str, Any] = {"fit": worker.fit, "transform": worker.transform}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(ok=does[request.pop("do")](**request))
        except Exception as error:  # noqa: BLE001 - pandas, numpy, dask and NVTabular itself raise, each in its own way
            answer(error=words(error))


if __name__ == "__main__":
    main()
