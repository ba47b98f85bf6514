"""Pages of reports: every foreign text is escaped, nothing is loaded, and each picture is there for two widths."""

from html.parser import HTMLParser

import pytest

from edgedraft.exporter.pages.html import GENERATOR, PageFigure, Report, escaped, page
from edgedraft.runtime.base.printed import PrintedTable, PrintedText

HOSTILE = (
    "</title><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a & b",
    "\x1b[2Jgone",
    "\u202eevil",
    "\ud800",
)
VOID = {"meta", "!doctype"}


class BalancedTags(HTMLParser):
    """Fails where a tag closes another one than was opened last; collects tags and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.said = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


def read(text: str) -> BalancedTags:
    tags = BalancedTags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    return tags


def made(text: str) -> str:
    table = PrintedTable(header=("name", text), rows=(("a", text), (text, "b")))
    figure = PageFigure(caption=text, draw=lambda width: f'<svg width="{width}">{escaped(text)}</svg>')
    printed = (PrintedText(text=text), table, PrintedText(text=text, note=True))
    return page(Report(title=text, figures=(figure,), printed=printed))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_foreign_text_stays_text(text):
    plain, held = read(made("harmless")), read(made(text))
    assert held.tags == plain.tags
    assert "script" not in held.tags
    written = made(text)
    assert not set(written) & {"\x1b", "\u202e", "\ud800"}
    assert written.encode("utf-8")


def test_what_a_text_says_is_still_read_by_people():
    said = "".join(read(made('<b> & "quotes"')).said)
    places = {"title": 1, "heading": 1, "caption": 1, "pictures": 2, "texts": 2, "cells": 3}
    assert said.count('<b> & "quotes"') == sum(places.values())


def test_columns_of_numbers_are_aligned_to_the_right():
    rows = (("a", "drafter", "1.5×", "–"), ("b", "none", "", "3"))
    table = PrintedTable(header=("way", "kind", "speed", "ms"), rows=rows)
    lines = page(Report(title="t", figures=(), printed=(table,))).splitlines()
    assert '<tr><td class="words">b</td><td class="words">none</td><td></td><td>3</td></tr>' in lines


def test_the_browser_is_told_to_load_nothing():
    head = made("report")[:4096]
    assert head.startswith("<!doctype html>")
    assert GENERATOR in head
    assert "default-src 'none'; style-src 'unsafe-inline'" in head
    assert "http" not in made("report").replace("http-equiv", "")


def test_an_empty_line_is_left_out():
    with_line, without = (
        page(Report(title="t", figures=(), printed=printed))
        for printed in ((PrintedText(text=""), PrintedText(text="x")), (PrintedText(text="x"),))
    )
    assert read(with_line).tags == read(without).tags


def test_a_picture_is_drawn_narrow_and_wide():
    widths = []
    figure = PageFigure(caption="c", draw=lambda width: f"<svg>{widths.append(width)}</svg>")
    page(Report(title="t", figures=(figure,), printed=()))
    assert widths == [288, 640]
