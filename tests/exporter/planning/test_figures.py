"""The law of figures: a drawing becomes whole files or none, the same bytes every time, whatever the user's style."""

import itertools
import sys
from xml.dom import minidom

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot

from edgedraft.exporter.planning.figures import (
    COLORS,
    drawing,
    require_own_pictures,
    size_axis,
    size_ticks,
    write_title,
)
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError

PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
WORDS = "qwen2.5-coder-0.5b-instruct drafting for qwen2.5-coder-1.5b-instruct"


def draw_something(*paths):
    with drawing(*paths, inches=(4, 3)) as figure:
        axes = figure.subplots()
        axes.fill_between([1, 2, 3], [1, 2, 1], [2, 3, 2], color=COLORS[0], hatch="//", label="τ")
        axes.legend()


def test_a_drawing_becomes_each_file_by_its_ending(tmp_path):
    png, svg = tmp_path / "new" / "a.png", tmp_path / "new" / "a.svg"
    draw_something(png, svg)
    assert png.read_bytes().startswith(PNG)
    assert png.read_bytes().endswith(PNG_END)
    assert minidom.parse(str(svg)).documentElement.tagName == "svg"
    assert sorted(file.name for file in png.parent.iterdir()) == ["a.png", "a.svg"]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_drawing_gives_the_same_bytes(tmp_path, kind):
    first, second, styled = (tmp_path / f"{name}.{kind}" for name in ("first", "second", "styled"))
    draw_something(first)
    draw_something(second)
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.hashsalt": "other"}):
        draw_something(styled)
        assert matplotlib.rcParams["axes.facecolor"] == "red"
    assert first.read_bytes() == second.read_bytes() == styled.read_bytes()


def test_an_svg_holds_no_date(tmp_path):
    draw_something(tmp_path / "a.svg")
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_our_pictures_are_told_from_others(tmp_path, kind):
    ours, other = tmp_path / f"ours.{kind}", tmp_path / f"other.{kind}"
    draw_something(ours)
    pyplot.figure().savefig(other)
    pyplot.close()
    require_own_pictures(ours, tmp_path / f"new.{kind}")
    with pytest.raises(EdgedraftError, match=f"{other}: exists and is not a picture of edgedraft's - move it"):
        require_own_pictures(ours, other)


def test_no_screen_and_no_open_figure_is_left_behind(tmp_path):
    backend, opened = matplotlib.get_backend(), pyplot.get_fignums()
    draw_something(tmp_path / "a.png")
    assert (matplotlib.get_backend(), pyplot.get_fignums()) == (backend, opened)


def test_a_drawing_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), drawing(path, inches=(4, 3)):
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("name", "got"), [("a.pdf", ".pdf"), ("a", "no ending")])
def test_other_endings_are_refused_before_drawing(tmp_path, name, got):
    with pytest.raises(EdgedraftError) as error:
        draw_something(tmp_path / "fine.png", tmp_path / name)
    assert str(error.value) == f"{tmp_path / name}: expected a picture's name to end with .png or .svg, got {got}"
    assert not list(tmp_path.iterdir())


def test_drawing_needs_the_export_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'^matplotlib is not installed - pip install "edgedraft\[export\]"$'):
        draw_something(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "title", ["short", WORDS, f"{WORDS} on a machine with a long name\n{WORDS}", "x" * 300, "$a$b"]
)
@pytest.mark.parametrize("width", [4, 12])
def test_titles_are_broken_into_lines_that_fit(tmp_path, title, width):
    with drawing(tmp_path / "a.png", inches=(width, 4)) as figure:
        write_title(figure, title)
        figure.subplots()
        figure.canvas.draw()
        box = figure._suptitle.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert figure.get_suptitle().replace("\n", "").replace(" ", "") == title.replace("\n", "").replace(" ", "")


@given(st.integers(1, 400_000), st.integers(1, 400_000))
def test_ticks_are_few_plain_powers_of_two_within_the_sizes(one, other):
    low, high = sorted((one, other))
    ticks = size_ticks(low, high)
    assert 1 <= len(ticks) <= 9
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == [low] or all(tick & (tick - 1) == 0 for tick in ticks)
    assert len({second / first for first, second in itertools.pairwise(ticks)}) <= 1


def test_ticks_by_hand():
    assert size_ticks(1024, 151936) == [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072]
    assert size_ticks(64, 151936) == [64, 256, 1024, 4096, 16384, 65536]
    assert size_ticks(600, 1000) == [600]


def test_a_size_axis_holds_all_sizes_and_says_them_plainly(tmp_path):
    with drawing(tmp_path / "a.png", inches=(6, 4)) as figure:
        axes = figure.subplots()
        size_axis(axes, (1024, 1472, 2048))
        left, right = axes.get_xlim()
        assert left < 1024 < 2048 < right
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1,024", "2,048"]
        assert axes.get_xscale() == "log"
