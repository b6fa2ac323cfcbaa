"""The report: what it says is right, what it escapes stays text, and what is missing is left out."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from core.errors import UserError
from core.files import write_json
from core.schema import Column, DType, Schema, Tag
from pipeline.report import drift, stages, write_report
from pipeline.report.files import Run
from serve.recommend import MissingValue
from tests.pipeline.made_run import TITLES, StandInRecommender, metrics, write_run

VOID = {"meta", "link", "br", "img", "input", "hr"}


@pytest.fixture(autouse=True)
def standin(monkeypatch):
    """A bundle that needs no models."""
    roles = SimpleNamespace(user="user_id", item="item_id", title="title")
    bundle = SimpleNamespace(has_items=True, roles=roles)
    monkeypatch.setattr("serve.bundle.Bundle.open", lambda path: bundle)
    monkeypatch.setattr("serve.recommend.Recommender", StandInRecommender)
    monkeypatch.setattr("pipeline.report.examples._people", lambda run, bundle: None)


def page(path, **options) -> str:
    write_report(write_run(path, **options), path / "report.html")
    return (path / "report.html").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Open elements, headings, ids and links of a page; fails on a tag that doesn't close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.headings, self.ids, self.links, self.names = [], [], [], [], set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.names.add(tag)
        if "id" in known:
            self.ids.append(known["id"])
        if tag == "a":
            self.links.append(known["href"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_in_itself(tmp_path):
    text = page(tmp_path)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|src=", text)
    assert "script" not in Outline(text).names


def test_titles_and_values_are_data(tmp_path):
    text = page(tmp_path)
    assert "<script>" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "Tom &amp; &#34;Jerry&#34;" in text
    assert "&lt;b&gt;Drama&lt;/b&gt;" in text


def test_the_outline_is_sound(tmp_path):
    outline = Outline(page(tmp_path))
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links} == set(outline.ids)


def test_pictures_are_well_formed_and_named(tmp_path):
    pictures = re.findall(r"<svg class.*?</svg>", page(tmp_path), flags=re.DOTALL)
    assert len(pictures) == 11  # four curves, three judgements, two histograms, two columns by split
    for picture in pictures:
        root = ET.fromstring(picture)
        assert root.attrib["aria-label"] == root[0].text


def test_the_same_run_gives_the_same_bytes(tmp_path):
    assert page(tmp_path / "one") == page(tmp_path / "two")


def test_a_winner_and_a_loser_are_called_so(tmp_path):
    won = page(tmp_path / "won")
    assert 'class="won"' in won
    assert 'class="lost"' not in won
    assert "Ranker dlrm beats logistic on test" in won
    assert "Ahead of logistic regression in every measure." in won
    lost = page(tmp_path / "lost", metrics=metrics(auc=0.6, logloss=0.9))
    assert 'class="lost"' in lost
    assert "Ranker dlrm LOSES to logistic on test" in lost
    assert '<p class="words down">Behind logistic regression in every measure.</p>' in lost


def test_differences_are_judged_by_the_direction_of_the_measure(tmp_path):
    text = page(tmp_path)
    assert '<small class="up">+0.1000</small>' in text  # AUC 0.8 against 0.7
    assert '<small class="up">-0.1000</small>' in text  # log loss 0.5 against 0.6
    mixed = page(tmp_path / "mixed", metrics=metrics(auc=0.8, logloss=0.9))
    assert "Ahead of logistic regression in AUC; behind in Log loss." in mixed
    assert '<small class="down">+0.3000</small>' in mixed


def test_measures_stand_in_a_known_order_and_missing_ones_are_left_out(tmp_path):
    text = page(tmp_path)
    text = text[text.index("<main") :]
    assert text.index("Recall@10") < text.index("Recall@50") < text.index("Coverage@10")
    assert 'Log loss <abbr title="lower is better">' in text
    assert "Grouped AUC" not in text  # the evaluation could not tell it


def test_stages_show_times_rates_and_memory(tmp_path):
    text = page(tmp_path)
    for words in (
        "12.3k rows/s",
        "peak 410 MB",
        "3 epochs, best 2",
        "read 500 ms · fit 250 ms",
        "1.2 MB",
        "10.0 s in all",
    ):
        assert words in text
    assert "margin-left:30.00%;width:50.00%" in text  # the ranker: after 3 of 10 seconds, for 5
    assert "1 min 49 s" not in text  # the report's own old record does not count


def test_the_profile_tells_nulls_shares_days_and_what_was_new(tmp_path):
    text = page(tmp_path)
    for words in ("7.0 %", "75.0 %", "12.5 %", "min 16", "median 40", "min 1997-09-12"):
        assert words in text


def test_drift_is_told_and_drawn(tmp_path):
    text = page(tmp_path)
    data = text[text.index('<section id="data">') :]
    assert '<span class="each down" title="JS 0.500, KS 0.600">1.75<small>test</small></span>' in data
    assert '<span class="each" title="JS 0.125">0.12<small>test</small></span>' in data
    assert '<td class="number">0.625</td>' in data
    drawn = data[data.index("Splits compared") :]
    assert drawn.index("age by split") < drawn.index("genre by split"), "the farthest first"
    assert "valid PSI 0.04, JS 0.100, KS 0.090; test PSI 1.75, JS 0.500, KS 0.600" in drawn
    assert "timestamp by split" not in drawn


def test_the_drift_of_ids_is_not_drawn(tmp_path):
    write_run(tmp_path)
    Schema((Column("age", DType.INT32, frozenset({Tag.USER_ID})),)).write(tmp_path / "etl/raw_schema.json")
    assert [figure.title for figure in drift.figures(Run.read(tmp_path))] == ["genre"]


def test_rows_that_are_gone_and_what_was_learned_before_are_told(tmp_path):
    run = Run.read(write_run(tmp_path))
    rules = [{"rule": "filter", "before": 1000, "after": 940}, {"rule": "k_core", "before": 940, "after": 900}]
    earlier = {"earlier": "a1", "seen": [{"rows": 6}, {"rows": 4}], "ids": {"city": [5, 6], "day": [3, 3]}}
    etl = replace(run.records["etl"], figures={"dropped": rules, "aside": 7, "learned": earlier})
    told = {one.label: (one.value, one.note) for one in stages.facts(replace(run, records={"etl": etl}))}
    assert told["Rows dropped"] == ("100 of 1,000", "filter 60, k_core 40")
    assert told["Rows set aside"][0] == "7"
    assert told["Learned from"] == ("10 rows", "4 of this run; new ids: city 1")


def test_the_leak_guard_says_what_it_found(tmp_path):
    text = page(tmp_path)
    guard = text[text.index('<section id="leaks">') :]
    assert "1 sign of features" in guard
    assert "<li>the column &lt;i&gt; alone tells the target (AUC 1.000)</li>" in guard
    assert "age drifts" not in guard
    write_json(tmp_path / "etl/manifest.json", {"warnings": []})
    write_report(tmp_path, tmp_path / "report.html")
    assert "No feature was found" in (tmp_path / "report.html").read_text(encoding="utf-8")
    write_json(tmp_path / "etl/manifest.json", {})
    write_report(tmp_path, tmp_path / "report.html")
    assert 'id="leaks"' not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_the_context_that_a_ranker_needs_there_are_no_examples(tmp_path, monkeypatch):
    def refuse(self, user, k):
        raise MissingValue("the context is missing")

    monkeypatch.setattr(StandInRecommender, "recommend", refuse)
    assert 'id="examples"' not in page(tmp_path)


def test_another_fault_of_the_bundle_is_told(tmp_path, monkeypatch):
    def refuse(self, user, k):
        raise UserError("user ids are whole numbers here")

    monkeypatch.setattr(StandInRecommender, "recommend", refuse)
    with pytest.raises(UserError, match="user ids are whole numbers here"):
        page(tmp_path)


def test_examples_show_what_came_true(tmp_path):
    text = page(tmp_path)
    assert text.count("<article") == 4
    assert "User 104" not in text  # liked one thing only
    assert text.count('<li class="hit">') == 4
    assert "1 of the 1 liked in the test split" in text
    assert "3 of 3, latest first" in text
    assert "filtering: 3 of 6 (3 already seen)" in text
    first = text[text.index("User 100") : text.index("User 101")]
    assert first.index("Misérables") < first.index("Jerry")
    assert TITLES[4] in first


def test_what_the_example_users_have_seen_ends_with_the_test_split(tmp_path, monkeypatch):
    monkeypatch.undo()
    import polars as pl

    from pipeline.report.examples import _people

    path = write_run(tmp_path)
    users = pl.read_parquet(path / "etl/entities/users.parquet")
    roles = SimpleNamespace(user="user_id")
    bundle = SimpleNamespace(roles=roles, signatures={}, table=lambda name: users)
    people = _people(Run.read(path), bundle)
    assert people.find(100, {}).seen.tolist() == [0, 1, 2, 5]
    assert people.find(104, {}).seen.tolist() == [5]


@pytest.mark.parametrize(
    ("part", "gone"),
    [
        ("metrics", "results"),
        ("bundle", "examples"),
        ("profile", "data"),
        ("config", ""),
        ("ranker", ""),
        ("retriever", ""),
    ],
)
def test_a_missing_part_leaves_its_section_out(tmp_path, part, gone):
    text = page(tmp_path, without=(part,))
    ids = Outline(text).ids
    assert gone not in ids
    assert "None" not in text
    if not gone:
        assert {"results", "examples", "data", "training", "stages"} <= set(ids)


def test_a_run_with_nothing_but_a_manifest_still_has_a_page(tmp_path):
    text = page(tmp_path, without=("config", "metrics", "ranker", "retriever", "profile", "bundle"))
    assert Outline(text).ids == ["main", "stages"]


def test_no_run_is_an_error_with_a_cure(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        write_report(tmp_path, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_named(tmp_path):
    write_run(tmp_path)
    (tmp_path / "metrics.json").write_text("[1]")
    with pytest.raises(UserError, match=r"metrics.json: this should be a JSON object"):
        write_report(tmp_path, tmp_path / "report.html")
