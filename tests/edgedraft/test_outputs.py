"""No command replaces what it has not written: it refuses in one line, before it reads, fetches or samples anything.

The models and files named here do not exist, so that a command that begins its work fails with another line.
"""

import pytest

from edgedraft.__main__ import main

NONE = "/no/such/file"
PAIR = ("--target", NONE, "--drafter", NONE)
PICTURE = "exists and is not a picture of edgedraft's - move it elsewhere, or choose another output folder"
REPORT = "exists and is not a report of method balanced - move it elsewhere, or choose another output folder"
CALIBRATION = "expected a folder with nothing but a calibration, got thesis - choose a new folder: this one is replaced"
PAGE = "exists and is not a report of edgedraft's - move it elsewhere, or choose another output folder"
BUNDLE = "exists and is not a bundle - choose another output folder"
FILE = "expected the name of a file, got a folder - add a file's name"


@pytest.mark.parametrize(
    ("held", "command", "named", "said"),
    [
        ("mine/thesis", ("calibrate", *PAIR, "--output", "mine"), "mine", CALIBRATION),
        ("mine", ("calibrate", *PAIR, "--output", "mine"), "mine", "exists and is not a calibration"),
        ("mine/thesis", ("calibrate", "count", NONE, "--target", NONE, "--output", "mine"), "mine", FILE),
        ("mine/thesis", ("calibrate", "merge", NONE, "--output", "mine"), "mine", FILE),
        ("mine/thesis", ("export", "mine", *PAIR), "mine", BUNDLE),
        ("mine", ("export", "mine", *PAIR), "mine", BUNDLE),
        ("mine/thesis", ("quickstart", *PAIR, "--output", "mine"), "mine", BUNDLE),
        ("mine.png", ("quickstart", *PAIR, "--output", "mine"), "mine.png", PICTURE),
        ("mine/curves.svg", ("plan", *PAIR, "--pictures", "mine"), "mine/curves.svg", PICTURE),
        ("mine", ("plan", *PAIR, "--pictures", "mine"), "mine", "expected a folder for pictures, got a file"),
        ("mine/thesis", ("plan", *PAIR, "--trials", "2", "--storage", "mine"), "mine", FILE),
        ("mine", ("plan", *PAIR, "--trials", "2", "--storage", "mine"), "mine", "not a file that searches are kept in"),
        (
            "mine/summary.json",
            ("plan", "--method", "balanced", *PAIR, "--output-dir", "mine"),
            "mine/summary.json",
            REPORT,
        ),
        (
            "mine/optimization_results.png",
            ("plan", "--method", "balanced", *PAIR, "--output-dir", "mine"),
            "mine/optimization_results.png",
            PICTURE,
        ),
        (
            "mine",
            ("plan", "--method", "balanced", *PAIR, "--output-dir", "mine"),
            "mine",
            "expected a folder for reports, got a file",
        ),
        ("mine.html", ("calibrate", *PAIR, "--report", "mine.html"), "mine.html", PAGE),
        ("mine.html", ("plan", *PAIR, "--report", "mine.html"), "mine.html", PAGE),
        ("mine.html", ("bench", NONE, "--report", "mine.html"), "mine.html", PAGE),
        ("mine.html/thesis", ("bench", NONE, "--report", "mine.html"), "mine.html", PAGE),
        ("mine/thesis", ("devices", "probe", "--output", "mine"), "mine", FILE),
    ],
)
def test_what_a_user_holds_is_refused_before_the_work(held, command, named, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / held).parent.mkdir(exist_ok=True)
    (tmp_path / held).write_text("years of work")
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"edgedraft: {named}: {said}")
    assert (tmp_path / held).read_text() == "years of work"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / held]


def test_a_file_for_trials_without_trials_is_refused(tmp_path, capsys):
    assert main(["plan", *PAIR, "--storage", str(tmp_path / "search.db")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "edgedraft: --storage: keeps trials, and none are asked for - add --trials N"
    assert list(tmp_path.iterdir()) == []
