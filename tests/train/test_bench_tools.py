"""What the training benches keep and refuse: no figure twice, no second look at a test split."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.bench import bench_accuracy, bench_peers
from tests.bench.bench_accuracy import CASES, Refused, figures, overrides, page, settings, verdict
from tests.bench.train.page import replaced, write
from tests.bench.train.turns import ROOT, Results, Turn

SAYS = [sys.executable, "-c", "print('chatter'); print('{\"value\": 3}')"]


def test_results_are_kept_and_not_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.jsonl"
    Results(file).take([Turn("one", SAYS)], settings="a")
    with file.open("a") as half:
        half.write('{"key": "cut')  # killed while it wrote
    again = Results(file)
    again.take([Turn("one", ["false"])])
    assert again.found["one"]["value"] == 3
    assert again.found["one"]["settings"] == "a"
    assert "kept from before" in capsys.readouterr().out


@pytest.mark.parametrize(
    "turn", [Turn("bad", ["false"]), Turn("mute", ["true"]), Turn("slow", ["sleep", "30"], timeout=0.2)]
)
def test_a_command_that_fails_leaves_no_result_and_stops_nothing(tmp_path: Path, turn: Turn) -> None:
    results = Results(tmp_path / "results.jsonl")
    results.take([turn, Turn("one", SAYS)])
    assert list(results.found) == ["one"]


def test_a_config_that_changed_is_refused(tmp_path: Path) -> None:
    results = Results(tmp_path / "accuracy.jsonl")
    case = CASES[0]
    results.add(f"config {case.config}", {"settings": "others", "when": "yesterday"})
    with pytest.raises(Refused, match=r"beauty_sasrec: its test split was read on yesterday"):
        bench_accuracy.run(case, results, tmp_path, tmp_path)


def test_a_config_that_did_not_change_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / CASES[0].data).mkdir()
    (tmp_path / CASES[0].data / "interactions.parquet").touch()
    results = Results(tmp_path / "accuracy.jsonl")
    key = f"config {CASES[0].config}"
    results.add(key, {"settings": settings(CASES[0]), "when": "yesterday"})
    bench_accuracy.run(CASES[0], results, tmp_path, tmp_path)
    assert results.found[key]["when"] == "yesterday"
    assert not (tmp_path / "logs").exists()


def test_every_case_is_a_config() -> None:
    assert all((ROOT / "configs" / f"{name}.yaml").exists() for name in [one.config for one in CASES])
    assert all((ROOT / "configs" / f"{name}.yaml").exists() for name in bench_accuracy.CRITEO)
    assert overrides(CASES[0], None) is None


def test_verdicts_and_the_page(tmp_path: Path) -> None:
    results, none = Results(tmp_path / "accuracy.jsonl"), Results(tmp_path / "none.jsonl")
    assert verdict({"recall@10": 0.09}, {"recall@10": 0.085}) == "reached"
    assert verdict({"recall@10": 0.08}, {"recall@10": 0.085}) == "**short**: recall@10 by 0.0050"
    test, valid = {"recall@10": 0.09, "ndcg@10": 0.04}, {"recall@10": 0.1, "ndcg@10": 0.06}
    groups = {"retriever": {"model": "sasrec", "test": test, "valid": valid}}
    results.add("config beauty_sasrec", {"groups": groups, "seconds": {"etl": 60.0}})
    assert figures(results.found["config beauty_sasrec"])[0] == "sasrec"
    text = page(results, none, tmp_path / "page.md")
    assert "0.0900 / 0.0400" in text
    assert "**short**: ndcg@10 by 0.0100" in text
    assert text in (tmp_path / "page.md").read_text()


def test_a_part_of_a_page_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("# Title\n\n<!-- figures -->\nold\n<!-- end of figures -->\n\nby hand\n")
    replaced(file, "figures", r"new \1")
    told = file.read_text()
    assert r"new \1" in told
    assert "old" not in told
    assert "by hand" in told
    assert told.startswith("# Title")


def test_peers_and_we_stand_beside_each_other(tmp_path: Path) -> None:
    plan = bench_peers.Plan(tmp_path, tmp_path, tmp_path / "beauty.parquet", None, 2)
    keys = [turn.key for turn in bench_peers.turns(plan)]
    assert len(keys) == len(set(keys))
    assert keys.index("peer bench_fuxictr DLRM") + 1 == keys.index("ours dlrm fp32 seed 2026")
    rate = {"steady_samples_per_s": 10.0, "samples_per_s": 9.0, "valid_auc": 0.7, "valid_logloss": 0.5}
    found = {
        "peer bench_fuxictr DLRM": {**rate, "peer": "fuxictr", "version": "2.3.10"},
        "ours dlrm fp32 seed 2026": {**rate, "steady_samples_per_s": 40.0, "valid_auc": 0.71, "share_of_limit": 0.5},
    }
    text = write(json.loads(json.dumps(found)), None)
    assert "**4.0**" in text
    assert "+0.0100" in text
