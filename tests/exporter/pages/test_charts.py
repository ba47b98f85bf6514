"""Charts of reports: lengths and heights are in proportion, and nothing leaves the picture."""

import re
from xml.dom import minidom

import numpy as np
import pytest

from edgedraft.exporter.pages.charts import Banded, Bar, bars, curve
from edgedraft.exporter.pages.heat import MapMark, heat_map, shade
from edgedraft.exporter.pages.svg import LETTER, linear, logarithmic, round_ticks, shortened
from edgedraft.exporter.planning.views import SpeedMap

WIDTHS = (288, 640)
SIZES = (64, 512, 4096, 32768, 151936)


def bar(value, *, label="target alone", shown="1.0"):
    return Bar(label=label, value=value, low=0.9 * value, high=1.1 * value, shown=shown)


def banded(values, *, percent=False):
    lows, highs = ([value * factor for value in values] for factor in (0.9, 1.1))
    return Banded(sizes=SIZES[: len(values)], values=values, lows=lows, highs=highs, percent=percent)


def speed_map(speeds, allowed=None):
    speeds = np.asarray(speeds, dtype=np.float64)
    sizes, lengths = np.array(SIZES[: len(speeds)]), np.arange(1, speeds.shape[1] + 1)
    allowed = np.ones(len(speeds), dtype=bool) if allowed is None else np.asarray(allowed)
    return SpeedMap(sizes=sizes, draft_lengths=lengths, tokens_per_second=speeds, allowed=allowed)


def drawings(width):
    marks = [MapMark(draft_vocab_size=512, draft_length=2, said="Ring: plan, 512 draft tokens, " * 3)]
    return {
        "bars": bars([bar(10), bar(20, label="<script>" * 20)], width),
        "curve": curve(banded([0.5, 0.7, 0.9, 0.95, 1.0], percent=True), width),
        "marked": curve(banded([1.0, 1.5, 2.0]), width, marked=32768),
        "one size": curve(banded([1.0]), width),
        "map": heat_map(speed_map([[10, 12], [15, 20], [8, 9]]), 10.0, marks, width),
        "one cell": heat_map(speed_map([[10]]), 10.0, [], width),
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", drawings(640))
def test_nothing_leaves_the_picture(name, width):
    root = minidom.parseString(drawings(width)[name]).documentElement
    height = float(root.getAttribute("height"))
    assert root.getAttribute("viewBox") == f"0 0 {width} {height:.0f}"
    for each in root.getElementsByTagName("text"):
        x, y, length = float(each.getAttribute("x")), float(each.getAttribute("y")), LETTER * len(each.firstChild.data)
        start = x - {"start": 0, "middle": length / 2, "end": length}[each.getAttribute("text-anchor")]
        assert start >= -1
        assert start + length <= width + LETTER
        assert 0 < y <= height
    for each in root.getElementsByTagName("rect"):
        x, y, wide, high = (float(each.getAttribute(key)) for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + wide <= width
        assert 0 <= y <= y + high <= height
    for each in root.getElementsByTagName("path"):
        for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", each.getAttribute("d")):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height


def filled(drawing):
    """The lengths of the bars, without their tracks."""
    rects = minidom.parseString(drawing).documentElement.getElementsByTagName("rect")
    return [float(each.getAttribute("width")) for each in rects if each.getAttribute("class") != "track"]


def test_bars_are_as_long_as_their_values():
    one, two = filled(bars([bar(10), bar(25)], 640))
    assert two / one == pytest.approx(2.5, rel=1e-3)


def test_a_curve_rises_with_its_values():
    dots = minidom.parseString(curve(banded([1, 2, 3]), 640)).documentElement.getElementsByTagName("circle")
    xs, ys = ([float(each.getAttribute(key)) for each in dots] for key in ("cx", "cy"))
    assert xs == sorted(xs)
    assert ys[0] > ys[1] > ys[2]  # y runs down
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.11)


def test_what_the_limits_forbid_is_not_drawn():
    def cells(drawn):
        return drawn.count("H") // 2

    speeds = [[10, 12], [15, 20], [8, 9]]
    assert cells(heat_map(speed_map(speeds), 10.0, [], 640)) == 6
    assert cells(heat_map(speed_map(speeds, [True, False, True]), 10.0, [], 640)) == 4


@pytest.mark.parametrize(("ratio", "depth"), [(1.0, 0), (1.5, 5), (0.5, -5), (1.2, 2), (9.0, 5)])
def test_a_shade_is_deeper_the_farther_a_speed_is_from_the_targets(ratio, depth):
    assert shade(ratio, 0.5) == depth


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.93, 0.951), (1.0, 3.7), (0, 12345), (2, 2)])
def test_ticks_are_round_few_and_inside(low, high):
    ticks = round_ticks(low, high)
    assert 1 <= len(ticks) <= 5
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0]) if len(steps) else True


def test_scales_meet_both_ends():
    assert [linear(2, 4, 10, 30)(value) for value in (2, 3, 4)] == [10, 20, 30]
    assert [round(logarithmic(1, 100, 0, 10)(value), 9) for value in (1, 10, 100)] == [0, 5, 10]


def test_a_long_label_ends_in_an_ellipsis():
    assert shortened("target alone", 640) == "target alone"
    assert shortened("x" * 100, 66) == "x" * 9 + "…"
