"""One command takes raw ratings through every stage; the second time it does nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.run import SMOKE, Outcome, contents, gyrfalcon, leftovers


def test_the_run_directory_holds_what_is_promised(first_run: tuple[Path, Outcome]) -> None:
    runs, outcome = first_run
    run = runs / "smoke"
    for name in ("config.yaml", "manifest.json", "metrics.json", "report.html", "etl/schema.pbtxt"):
        assert (run / name).is_file(), name
    for name in ("etl/train", "train/ranker", "train/retriever", "bundle"):
        assert (run / name).is_dir(), name
    assert leftovers(run) == []
    for words in ("dlrm", "logistic", "two_tower", "popularity", "beats", "gyrfalcon recommend"):
        assert words in outcome.out


def test_the_manifest_tells_what_each_stage_did(first_run: tuple[Path, Outcome]) -> None:
    manifest = json.loads((first_run[0] / "smoke/manifest.json").read_text())
    assert manifest["order"] == ["etl", "retriever", "ranker", "evaluate", "export", "report"]
    for name, stage in manifest["stages"].items():
        assert stage["seconds"] > 0, name
        assert stage["peak_memory_bytes"] > 0
        assert stage["outputs"]
        assert all(len(value) == 64 for value in stage["inputs"].values())
    etl, ranker = manifest["stages"]["etl"], manifest["stages"]["ranker"]
    assert (etl["engine"], etl["rows"]) == ("cpu", 7680)
    assert ranker["device"] == "cpu"
    assert ranker["rows_per_second"] > 0


def test_planted_tastes_are_found(first_run: tuple[Path, Outcome]) -> None:
    metrics = json.loads((first_run[0] / "smoke/metrics.json").read_text())
    ranker, retriever = metrics["ranker"], metrics["retriever"]
    assert ranker["test"]["auc"] > 0.8
    assert ranker["test"]["auc"] > ranker["baselines"]["logistic"]["test"]["auc"] + 0.1
    assert retriever["test"]["recall@10"] > 2 * retriever["baselines"]["popularity"]["test"]["recall@10"]


def test_the_second_run_does_nothing(good: Path) -> None:
    before = contents(good)
    outcome = gyrfalcon("run", SMOKE, "--runs-dir", good)
    assert outcome.code == 0
    assert outcome.err.count("skipped (unchanged)") == 6
    after = contents(good)
    assert {name for name in after if before.get(name) != after[name]} <= {"smoke/.hashes.json"}


def test_dry_run_names_the_reason_and_runs_nothing(good: Path) -> None:
    before = contents(good)
    outcome = gyrfalcon("run", SMOKE, "--runs-dir", good, "--dry-run", "--set", "train.ranker.epochs=9")
    assert outcome.code == 0
    lines = {line.split()[0]: line for line in outcome.out.splitlines()}
    assert "skip" in lines["etl"]
    assert "skip" in lines["retriever"]
    assert "changed: config" in lines["ranker"]
    assert "maybe" in lines["evaluate"]
    assert contents(good) == before


def test_two_runs_are_equal_to_the_byte(first_run: tuple[Path, Outcome], tmp_path: Path) -> None:
    outcome = gyrfalcon("evaluate", SMOKE, "--runs-dir", tmp_path)
    assert outcome.code == 0, outcome.err
    one, two = contents(first_run[0] / "smoke"), contents(tmp_path / "smoke")
    same = [name for name in one if name == "metrics.json" or name.endswith((".parquet", ".safetensors"))]
    same = [name for name in same if not name.startswith("bundle/")]
    assert len(same) > 10
    assert [name for name in same if one[name] != two.get(name)] == []


def test_verify_recommend_and_report(good: Path) -> None:
    bundle = good / "smoke" / "bundle"
    verified = gyrfalcon("verify", bundle)
    assert verified.code == 0, verified.err
    assert "verified: within 1e-05" in verified.out
    known = gyrfalcon("recommend", bundle, "--user", "1", "--k", "3")
    assert known.code == 0, known.err
    assert "For user 1" in known.out
    assert "already seen" in known.out
    cold = gyrfalcon("recommend", bundle, "--user", "99999", "--features", "age=30", "--features", "occupation=artist")
    assert cold.code == 0, cold.err
    assert "cold" in cold.out
    (good / "smoke" / "report.html").unlink()
    assert gyrfalcon("report", good / "smoke").code == 0
    assert (good / "smoke" / "report.html").stat().st_size > 10_000


def test_a_bundle_with_a_changed_byte_is_refused(good: Path) -> None:
    model = good / "smoke" / "bundle" / "ranker.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    outcome = gyrfalcon("verify", good / "smoke" / "bundle")
    assert outcome.code == 2
    assert "ranker.onnx" in outcome.errors[0]
