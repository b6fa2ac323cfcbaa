"""NVTabular's side of the bench. Runs in NVTabular's own environment and imports nothing of this project.

PYTHON nvt.py etl SOURCE OUT      fit, transform, Parquet; then save the workflow
PYTHON nvt.py online SOURCE OUT   transform frames of 1 and 1000 rows with the workflow in OUT
"""

import json
import resource
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import nvtabular as nvt  # noqa: E402
from nvtabular import ops  # noqa: E402

NUMBERS = [f"I{n}" for n in range(1, 14)]
IDS = [f"C{n}" for n in range(1, 27)]
CALLS = {1: 20, 1000: 20}


def etl(source: str, out: str) -> dict:
    """What its examples do for Criteo."""
    numbers = NUMBERS >> ops.FillMissing() >> ops.LogOp() >> ops.Normalize()
    workflow = nvt.Workflow(numbers + (IDS >> ops.Categorify(out_path=out)) + ["label"])
    rows = nvt.Dataset(source, engine="parquet", part_size="256MB")
    before, start = cpu(), time.perf_counter()
    workflow.fit(rows)
    fit = time.perf_counter() - start
    workflow.transform(rows).to_parquet(f"{out}/rows")
    wall, used = time.perf_counter() - start, cpu() - before
    workflow.save(f"{out}/workflow")
    sizes = nvt.ops.get_embedding_sizes(workflow)
    return {"fit": fit, "wall": wall, "cpu": used, "cardinalities": {name: sizes[name][0] for name in IDS}}


def online(source: str, out: str) -> dict:
    """Milliseconds of a call, median."""
    import pyarrow.parquet as pq

    workflow = nvt.Workflow.load(f"{out}/workflow").remove_inputs(["label"])
    rows = pq.ParquetFile(source).read_row_group(0, columns=NUMBERS + IDS).to_pandas()
    # Where a column of the frame holds no value, Categorify 23.8 raises IndexError.
    whole = rows.dropna(subset=IDS).reset_index(drop=True)
    found = {}
    for size, calls in CALLS.items():
        times = []
        for call in range(calls + 1):
            frame = whole.iloc[call * size : (call + 1) * size].reset_index(drop=True)
            start = time.perf_counter()
            workflow.transform(frame)
            times.append(1000 * (time.perf_counter() - start))
        found[str(size)] = statistics.median(times[1:])
    return found


def cpu() -> float:
    """Processor seconds of this process and its children."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


print(json.dumps({"etl": etl, "online": online}[sys.argv[1]](*sys.argv[2:])), flush=True)
