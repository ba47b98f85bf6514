"""--report: the page holds every cell and line that the command printed, and draws them; it asks for nothing else."""

import json
import re
from html.parser import HTMLParser

import pytest

from edgedraft.__main__ import main

SMALL = ("--max-new-tokens", "8", "--threads", "2")


class PageTexts(HTMLParser):
    """The texts of a page's paragraphs and cells, its pictures, and every address that it names."""

    def __init__(self) -> None:
        super().__init__()
        self.texts, self.tags, self.addresses = [], [], []
        self._inside = False

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]
        self._inside = tag in ("p", "td", "th", "h1")
        if self._inside:
            self.texts.append("")

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.texts[-1] += data


def read_page(path) -> PageTexts:
    page = PageTexts()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def printed(out: str) -> list[str]:
    """The cells of the tables and the other lines that a command printed."""
    found = []
    for line in out.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            found += [] if all(re.fullmatch(":?-+:?", cell) for cell in line.strip("| ").split(" | ")) else cells
        else:
            found.append(line.strip())
    return [text for text in found if text]


@pytest.fixture
def pair_options(tiny_pair, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    lines = [{"id": str(i), "prompt": f"sort the list {i}"} for i in range(6)]
    prompts.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return [
        *("--target", str(tiny_pair.target), "--drafter", str(tiny_pair.drafter), "--cache", str(tiny_pair.cache)),
        *("--target-precision", "fp32", "--drafter-precision", "fp32", "--prompts", str(prompts), *SMALL),
    ]


@pytest.fixture
def commands(tiny_bundle, pair_options, tmp_path):
    prompts = tmp_path / "asked.jsonl"
    rows = [{"prompt": "sort the list", "category": "<b>math</b>"}, {"prompt": "print", "category": "writing"}]
    prompts.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return {
        "bench": ["bench", str(tiny_bundle), "--prompts", str(prompts), *SMALL],
        "calibrate": ["calibrate", *pair_options],
        "plan": ["plan", *pair_options, "--device", "rpi5", "--explain"],
        "plan by mbsu": ["plan", *pair_options, "--method", "mbsu"],
    }


@pytest.mark.parametrize(("name", "pictures"), [("bench", 3), ("calibrate", 2), ("plan", 2), ("plan by mbsu", 0)])
def test_the_page_holds_what_was_printed_and_pictures_of_it(commands, name, pictures, tmp_path, capsys):
    path = tmp_path / "new" / f"{name}.html"
    assert main([*commands[name], "--report", str(path)]) == 0
    ran = capsys.readouterr()
    assert ran.err.splitlines()[-1] == f"Report: {path}"
    page = read_page(path)
    held = [text.strip() for text in page.texts]
    assert [text for text in printed(ran.out) if text not in held] == []
    assert page.tags.count("svg") == 2 * pictures  # one for narrow screens, one for wide ones
    assert page.addresses == []
    assert {"script", "b", "img", "link", "iframe"} & set(page.tags) == set()


def test_with_json_the_page_is_the_same_kind_and_stdout_is_json_alone(commands, tmp_path, capsys):
    path = tmp_path / "plan.html"
    assert main([*commands["plan"], "--report", str(path), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert any(text.startswith(f"Plan: {plan['draft_vocab_size']:,} draft tokens") for text in read_page(path).texts)


def test_training_data_has_no_report(tmp_path, capsys):
    command = ["calibrate", "--features", str(tmp_path / "f"), "--report", str(tmp_path / "r.html")]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "edgedraft: --features shows nothing to draw, got --report - leave it out"
    assert list(tmp_path.iterdir()) == []
