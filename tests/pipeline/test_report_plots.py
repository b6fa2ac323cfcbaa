"""Ticks are round and cover the data; drawings stay inside their frame for any numbers."""

import itertools
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.axes import Frame, short, tag, ticks
from pipeline.report.measures import measure
from pipeline.report.plots import Series, box, calibration_chart, line_chart, score_chart, spark, value_chart

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4))


@given(numbers, numbers, st.integers(2, 10))
def test_ticks_cover_the_range_with_few_round_steps(one, other, count):
    low, high = sorted((one, other))
    found = ticks(low, high, count)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 2 * count + 3
    steps = [after - before for before, after in itertools.pairwise(found)]
    assert min(steps) > 0
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


@given(st.lists(st.tuples(st.integers(1, 40), numbers), min_size=1, max_size=12, unique_by=lambda point: point[0]))
def test_lines_stay_inside_the_frame(points):
    points = tuple(sorted(points))
    picture = ET.fromstring(
        line_chart([Series("a", points)], title="t", x_label="x", y_label="y", best=(float(points[0][0]), points[0][1]))
    )
    frame = Frame((0, 1), (0, 1))
    for dot in picture.iter("circle"):
        assert frame.left - 0.01 <= float(dot.attrib["cx"]) <= frame.width - frame.right + 0.01
        assert frame.top - 0.01 <= float(dot.attrib["cy"]) <= frame.height - frame.bottom + 0.01


def test_epochs_are_whole_on_the_axis():
    points = tuple((epoch, float(epoch)) for epoch in range(1, 31))
    picture = ET.fromstring(line_chart([Series("a", points)], title="t", x_label="epoch", y_label="y"))
    below = [each.text for each in picture.iter("text") if each.attrib["class"] == "tick middle"]
    assert len(below) <= 11
    assert all("." not in words for words in below)


def test_calibration_draws_the_diagonal_and_larger_dots_for_more_rows():
    picture = ET.fromstring(calibration_chart([[(0.1, 0.2, 10), (0.9, 0.8, 1000)]], title="t"))
    few, many = (float(dot.attrib["r"]) for dot in picture.iter("circle"))
    assert many > few
    assert [line.attrib["class"] for line in picture.iter("polyline")] == ["reference", "line s1"]


def test_empty_and_flat_numbers_can_be_drawn():
    for picture in (
        spark([0, 0], title="t"),
        spark([], title="t"),
        box([1.0, 1.0, 1.0, 1.0, 1.0], title="t"),
        score_chart([0.0, 1.0], [("none", [0.0])], title="t"),
        calibration_chart([[(0.0, 0.0, 3)]], title="t"),
    ):
        assert "nan" not in picture
        ET.fromstring(picture)


def test_spark_bars_follow_the_counts():
    heights = [float(bar.attrib["height"]) for bar in ET.fromstring(spark([1, 2, 4], title="t")).iter("rect")]
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.01)
    assert heights[2] == pytest.approx(4 * heights[0], rel=0.01)


def test_bars_of_values_follow_the_shares_and_stay_inside():
    shares = [("train", [0.5, 0.25]), ("test", [1.0, 0.0])]
    picture = ET.fromstring(value_chart(["a" * 40, "<b>"], shares, title="t"))
    bars = {
        kind: [float(bar.attrib["width"]) for bar in picture.iter("rect") if bar.attrib["class"] == f"bar {kind}"]
        for kind in ("s1", "s2")
    }
    assert bars["s1"][0] == pytest.approx(2 * bars["s1"][1], rel=0.01)
    assert bars["s2"][0] == pytest.approx(2 * bars["s1"][0], rel=0.01)
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for bar in picture.iter("rect"):
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width
        assert float(bar.attrib["y"]) + float(bar.attrib["height"]) <= height
    assert any(each.text and each.text.endswith("a…") for each in picture.iter("text"))


def test_names_are_escaped_in_pictures():
    picture = line_chart([Series("a", ((1, 1.0),))], title="<b>&", x_label="<i>", y_label='"')
    assert "<b>" not in picture
    assert "<i>" not in picture
    assert tag("line", '"x', x1='"') == '<line class="&#34;x" x1="&#34;"/>'


def test_short_numbers():
    assert [short(value) for value in (0, -1234.5, 9999.6, 1e9, float("nan"))] == ["0", "-1234", "10k", "1G", "n/a"]


def test_calibration_is_best_at_one():
    each = measure("calibration")
    assert each.merit(1.02) > each.merit(0.9)
    assert measure("unknown").merit(3.0) is None
    assert measure("logloss").merit(0.4) > measure("logloss").merit(0.5)
