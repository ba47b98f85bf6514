"""What the command line says by itself: help, suggestions, the log, completion."""

import os
import subprocess
import sys

import pytest

from edgedraft.__main__ import COMMANDS, main
from edgedraft.runtime.onnx.providers import available_providers


def test_alone_it_shows_its_commands(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name}" not in shown] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["benhc"], "edgedraft: error: argument COMMAND: invalid choice: 'benhc' - did you mean bench? (choose from "),
        (["devices", "shwo"], "edgedraft devices: error: argument PART: invalid choice: 'shwo' - did you mean show?"),
        (["kernels", "--jsn"], "edgedraft kernels: error: unrecognized arguments: --jsn - did you mean --json?\n"),
        (
            ["devices", "list", "--knd=x"],
            "edgedraft devices list: error: unrecognized arguments: --knd=x - did you mean",
        ),
        (["kernels", "--zzzzz"], "edgedraft kernels: error: unrecognized arguments: --zzzzz\n"),
        (["kernels", "x"], "edgedraft kernels: error: unrecognized arguments: x\n"),
        (["xyz"], "edgedraft: error: argument COMMAND: invalid choice: 'xyz' (choose from "),
    ],
)
def test_mistyped_names(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-n", "--max-tokens", "--max-new-tokens"])
def test_three_names_for_the_length_of_an_answer(tiny_bundle, option, capsys):
    assert main(["generate", str(tiny_bundle), "sort the list", option, "3", "--threads", "2"]) == 0
    assert "[3 tokens, " in capsys.readouterr().err


@pytest.mark.skipif("azure" not in available_providers(), reason="every provider of this onnxruntime has kernels")
@pytest.mark.parametrize("option", ["--target-provider", "--drafter-provider"])
def test_a_provider_that_would_run_nothing_ends_the_command(tiny_bundle, option, capsys):
    assert main(["generate", str(tiny_bundle), "sort", option, "azure", "--threads", "2"]) == 2
    assert "provider azure: ONNX Runtime runs no part of this graph on it, got cpu instead" in capsys.readouterr().err


@pytest.mark.parametrize("filtering", [["--top-p", "0.9"], ["--top-k", "5"], ["--min-p", "0.1"], ["--seed", "0"]])
@pytest.mark.parametrize("command", [["generate", "nowhere", "hello"], ["chat", "nowhere"]])
def test_options_of_drawing_are_refused_where_nothing_is_drawn(command, filtering, capsys):
    assert main([*command, *filtering]) == 2
    rule = f"edgedraft: {filtering[0]}: only tokens that are drawn are filtered or repeat, got temperature 0 - "
    assert capsys.readouterr().err == f"{rule}give --temperature, such as 0.8\n"


def test_the_log_is_shown_when_asked_for(tiny_bundle, capsys):
    assert main(["generate", str(tiny_bundle), "sort", "-n", "2", "--threads", "2", "--json", "-v"]) == 0
    shown = capsys.readouterr().err
    assert "files are as the manifest says" in shown
    assert "ms edgedraft.runtime.engine: target on cpu with " in shown
    assert main(["generate", str(tiny_bundle), "sort", "-n", "2", "--threads", "2", "--json"]) == 0
    assert "manifest" not in capsys.readouterr().err, "not asked for: not shown"


def test_the_log_says_where_an_error_comes_from(tmp_path, capsys):
    assert main(["generate", str(tmp_path / "no"), "sort", "-v"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "Traceback (most recent call last):" in lines
    assert lines[-1].startswith(f"edgedraft: {tmp_path / 'no'}: no such bundle folder")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "edgedraft" in capsys.readouterr().out


def test_a_shell_gets_completions(tmp_path):
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "out"), "COMP_POINT": "14"}
    line = {"COMP_LINE": "edgedraft calib", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_COMP_WORDBREAKS": ""}
    command = [sys.executable, "-m", "edgedraft"]
    subprocess.run(command, env={**os.environ, **asked, **line}, check=False, capture_output=True)
    assert (tmp_path / "out").read_text().split() == ["calibrate"]


def test_without_the_extra_completion_names_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["completion", "bash"]) == 2
    assert capsys.readouterr().err.endswith('argcomplete is not installed - pip install "edgedraft[completion]"\n')


def test_ctrl_c_while_the_command_line_is_read_is_one_line(monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("edgedraft.__main__.build_parser", stop)
    assert main(["kernels"]) == 130
    assert capsys.readouterr().err == "edgedraft: stopped - run the same command again to go on from here\n"
