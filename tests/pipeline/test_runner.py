"""The runner, with fake stages: skipping, forcing, resuming, and outputs that are whole or absent."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import RETIRED, TEMPORARY
from pipeline.lock import locked
from pipeline.runner import Interrupted, Range, StageFailed, execute
from pipeline.stages import STAGES
from tests.pipeline.fakes import Fakes, context

ALL = ["etl", "retriever", "ranker", "evaluate"]


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


def go(
    fakes: Fakes, tmp_path: Path, *overrides: str, start: str | None = None, end: str | None = None, **more: str
) -> list[str]:
    """Run, and give the names of the stages that ran."""
    fakes.ran.clear()
    execute(context(tmp_path, *overrides, **more), Range(start, end), stages=fakes.stages())
    return list(fakes.ran)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith((TEMPORARY, RETIRED))]


def test_everything_runs_once_and_then_nothing(fakes: Fakes, tmp_path: Path) -> None:
    assert go(fakes, tmp_path) == ALL
    before = snapshot(tmp_path / "runs")
    assert go(fakes, tmp_path) == []
    after = snapshot(tmp_path / "runs")
    assert {name: after[name] for name in before if ".hashes" not in name} == {
        name: data for name, data in before.items() if ".hashes" not in name
    }


@pytest.mark.parametrize(
    ("override", "ran"),
    [
        ("etl.split.test=0.2", ["etl", "retriever", "ranker", "evaluate"]),
        ("train.ranker.epochs=4", ["ranker", "evaluate"]),
        ("train.retriever.model=two_tower", ["retriever", "evaluate"]),
        ("seed=1", ["evaluate"]),
    ],
)
def test_a_change_runs_what_depends_on_it(fakes: Fakes, tmp_path: Path, override: str, ran: list[str]) -> None:
    go(fakes, tmp_path)
    assert go(fakes, tmp_path, override) == ran


@pytest.mark.parametrize(("engine", "ran"), [("cpu", ["etl"]), ("nvtabular", [])])
def test_what_nvtabular_wrote_in_its_environment_holds_in_others(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, ran: list[str]
) -> None:
    """Its libraries are pinned to other versions than those that train."""
    first, *rest = fakes.stages()
    stages = (replace(first, libraries=STAGES[0].libraries, elsewhere=STAGES[0].elsewhere), *rest)
    setting = f"etl.engine={engine}"
    execute(context(tmp_path, setting), stages=stages)
    fakes.ran.clear()
    monkeypatch.setattr("pipeline.plan._versions", lambda libraries: dict.fromkeys(libraries, "another"))
    execute(context(tmp_path, setting), stages=stages)
    assert fakes.ran == ran


def test_changed_data_run_everything_that_reads_them(fakes: Fakes, tmp_path: Path) -> None:
    go(fakes, tmp_path)
    # The fake etl writes the same output for other data, so nothing after it needs to run.
    assert go(fakes, tmp_path, data="u,i,y\n2,2,1\n") == ["etl"]


def test_the_same_data_elsewhere_are_unchanged(fakes: Fakes, tmp_path: Path) -> None:
    go(fakes, tmp_path)
    (tmp_path / "other").mkdir()
    moved = (tmp_path / "data.csv").rename(tmp_path / "other" / "data.csv")
    assert go(fakes, tmp_path, f"data.interactions.path={moved}") == []


def test_an_output_that_was_changed_or_lost_is_made_again(fakes: Fakes, tmp_path: Path) -> None:
    go(fakes, tmp_path)
    run_dir = tmp_path / "runs" / "fake"
    (run_dir / "train/ranker/result.txt").write_text("tampered")
    assert go(fakes, tmp_path) == ["ranker"]
    (run_dir / "metrics.json").unlink()
    assert go(fakes, tmp_path) == ["evaluate"]


def test_from_forces_and_until_ends(fakes: Fakes, tmp_path: Path) -> None:
    assert go(fakes, tmp_path, end="train") == ["etl", "retriever", "ranker"]
    assert go(fakes, tmp_path) == ["evaluate"]
    assert go(fakes, tmp_path, start="train") == ["retriever", "ranker", "evaluate"]
    assert go(fakes, tmp_path, start="ranker", end="train") == ["ranker"]


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("trian", None, "did you mean train"),
        (None, "evalute", "did you mean evaluate"),
        ("evaluate", "etl", "comes after"),
    ],
)
def test_wrong_stage_names(fakes: Fakes, tmp_path: Path, start: str | None, end: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        go(fakes, tmp_path, start=start, end=end)
    assert fakes.ran == []


def test_a_stage_that_the_config_leaves_out_leaves_no_output(fakes: Fakes, tmp_path: Path) -> None:
    go(fakes, tmp_path)
    assert go(fakes, tmp_path, "train.retriever=null") == ["evaluate"]
    assert not (tmp_path / "runs/fake/train/retriever").exists()
    assert (tmp_path / "runs/fake/train/ranker").exists()


def test_dry_run_tells_reasons_and_touches_nothing(fakes: Fakes, tmp_path: Path) -> None:
    steps = execute(context(tmp_path), stages=fakes.stages(), dry=True)
    assert [step.decision.runs for step in steps] == [True, None, None, None]
    assert not (tmp_path / "runs").exists()
    go(fakes, tmp_path)
    before = snapshot(tmp_path / "runs")
    steps = execute(context(tmp_path, "train.ranker.epochs=9"), stages=fakes.stages(), dry=True)
    assert [step.decision.runs for step in steps] == [False, False, True, None]
    assert steps[2].decision.reason == "changed: config"
    assert "ranker" in steps[3].decision.reason
    assert snapshot(tmp_path / "runs") == before


def test_the_manifest_names_inputs_outputs_and_figures(fakes: Fakes, tmp_path: Path) -> None:
    go(fakes, tmp_path)
    manifest = json.loads((tmp_path / "runs/fake/manifest.json").read_text())
    assert manifest["order"] == ALL
    etl = manifest["stages"]["etl"]
    assert set(etl["outputs"]) == {"result.txt", "manifest.json"}
    assert set(etl["inputs"]) == {"data"}
    assert (etl["engine"], etl["rows"]) == ("cpu", 100)
    assert etl["seconds"] >= 0
    assert etl["peak_memory_bytes"] > 1_000_000


@pytest.mark.parametrize("stage", ["etl", "evaluate"])
def test_a_stage_that_fails_leaves_the_earlier_run_untouched(fakes: Fakes, tmp_path: Path, stage: str) -> None:
    go(fakes, tmp_path)
    before = snapshot(tmp_path / "runs")

    def fail(out: Path) -> None:
        if out.is_dir():
            (out / "half").write_text("half")
        raise UserError("no")

    fakes.before[stage] = fail
    with pytest.raises(UserError, match="no"):
        go(fakes, tmp_path, start=stage)
    assert snapshot(tmp_path / "runs") == before
    assert leftovers(tmp_path / "runs") == []


def test_our_own_fault_names_the_stage(fakes: Fakes, tmp_path: Path) -> None:
    fakes.before["ranker"] = lambda out: 1 // 0
    with pytest.raises(StageFailed, match="stage ranker failed: ZeroDivisionError"):
        go(fakes, tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (RuntimeError("io failed: No space left on device (os error 28)"), "disk is full"),
        (OSError(errno.EDQUOT, "quota"), "quota"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "not enough memory"),
    ],
)
def test_what_the_machine_refuses_is_told_plainly(fakes: Fakes, tmp_path: Path, error: Exception, words: str) -> None:
    def fail(out: Path) -> None:
        raise error

    fakes.before["ranker"] = fail
    with pytest.raises(UserError, match=words) as caught:
        go(fakes, tmp_path)
    assert caught.value.cure


def test_an_interrupted_training_goes_on_in_its_directory(fakes: Fakes, tmp_path: Path) -> None:
    seen: list[bool] = []

    def interrupt_once(out: Path) -> None:
        seen.append((out / "checkpoint").exists())
        if len(seen) == 1:
            (out / "checkpoint").write_text("half way")
            raise KeyboardInterrupt
        (out / "checkpoint").unlink()

    fakes.before["ranker"] = interrupt_once
    with pytest.raises(Interrupted, match="ranker.*run the same command to go on"):
        go(fakes, tmp_path)
    assert not (tmp_path / "runs/fake/train/ranker").exists()
    assert go(fakes, tmp_path) == ["ranker", "evaluate"]
    assert seen == [False, True]
    assert not any((tmp_path / "runs/fake/.work").iterdir())


def test_a_checkpoint_of_other_settings_is_removed(fakes: Fakes, tmp_path: Path) -> None:
    def interrupt(out: Path) -> None:
        (out / "checkpoint").write_text("half way")
        raise KeyboardInterrupt

    fakes.before["ranker"] = interrupt
    with pytest.raises(Interrupted):
        go(fakes, tmp_path)
    fakes.before["ranker"] = lambda out: pytest.fail("kept") if (out / "checkpoint").exists() else None
    go(fakes, tmp_path, "train.ranker.epochs=5")
    assert not any((tmp_path / "runs/fake/.work").iterdir())


def test_what_a_killed_run_left_is_cleared(fakes: Fakes, tmp_path: Path) -> None:
    go(fakes, tmp_path)
    run_dir = tmp_path / "runs/fake"
    (run_dir / "etl").rename(run_dir / f"{RETIRED}etl")  # killed between the two renames of a replacement
    (run_dir / f"{TEMPORARY}x-etl").mkdir()
    (run_dir / "train" / f"{TEMPORARY}y").write_text("half")
    assert go(fakes, tmp_path) == []
    assert leftovers(run_dir) == []


def test_two_processes_never_share_a_run(fakes: Fakes, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from pipeline.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    run_dir = tmp_path / "runs" / "fake"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process is working on this run"):
            go(fakes, tmp_path)
        other.kill()
    assert go(fakes, tmp_path) == ALL


def test_a_lock_is_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "run"):
            pass


def test_a_missing_file_is_told_before_anything_runs(fakes: Fakes, tmp_path: Path) -> None:
    run = context(tmp_path)
    (tmp_path / "data.csv").unlink()
    with pytest.raises(UserError, match="data.csv"):
        execute(run, stages=fakes.stages())
    assert fakes.ran == []


def test_explicit_device_runs_what_was_done_on_another(tmp_path: Path) -> None:
    from dataclasses import replace

    from pipeline.hashes import HashCache
    from pipeline.manifest import read
    from pipeline.plan import decide

    fakes = Fakes()
    go(fakes, tmp_path)
    stage = replace(fakes.stages()[2], uses_device=True)
    run = context(tmp_path)
    record = read(run.run_dir)["ranker"]
    inputs = dict(record.inputs)
    cache = HashCache(tmp_path / "hashes.json")
    done = replace(record, device="cuda")
    assert decide(stage, run, done, cache, inputs=inputs, forced=False).runs is False
    asked = decide(stage, replace(run, device="cpu"), done, cache, inputs=inputs, forced=False)
    assert (asked.runs, asked.reason) == (True, "was done on cuda, --device asks for cpu")
