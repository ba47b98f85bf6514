"""Reports as files: the same result gives the same bytes, an older report is replaced, nothing else ever is."""

import pytest

from edgedraft.exporter.pages.html import Report
from edgedraft.exporter.pages.writing import require_report_file, write_report
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.printed import PrintedText


def report(text="done"):
    return Report(title="edgedraft bench", figures=(), printed=(PrintedText(text=text),))


def test_a_report_may_be_replaced_by_another(tmp_path):
    path = tmp_path / "new" / "report.html"
    for text in ("one", "two"):
        require_report_file(path)
        write_report(path, report(text))
    assert "two" in path.read_text(encoding="utf-8")
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]


def test_the_same_result_gives_the_same_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, report())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_page_of_somebody_elses_is_refused(tmp_path):
    path = tmp_path / "thesis.html"
    path.write_text("<!doctype html><title>years of work</title>")
    with pytest.raises(EdgedraftError, match=r"thesis\.html: exists and is not a report of edgedraft's"):
        require_report_file(path)


@pytest.mark.parametrize(("name", "got"), [("report", "no ending"), ("report.pdf", ".pdf")])
def test_another_ending_is_refused(tmp_path, name, got):
    with pytest.raises(EdgedraftError) as error:
        require_report_file(tmp_path / name)
    rule = f"{tmp_path / name}: expected a report's name to end with .html, got {got} - add .html"
    assert str(error.value) == rule


def test_nothing_is_left_of_a_page_that_cannot_be_made(tmp_path, monkeypatch):
    def fail(report):
        raise RuntimeError("no page")

    monkeypatch.setattr("edgedraft.exporter.pages.writing.page", fail)
    with pytest.raises(RuntimeError, match="no page"):
        write_report(tmp_path / "report.html", report())
    assert list(tmp_path.iterdir()) == []
