"""edgedraft chat at a terminal: the real one (a pseudo-terminal) for what readline does, a played one for the rest."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from edgedraft.__main__ import main
from edgedraft.console import Console

SMALL = ("--threads", "2", "--max-new-tokens", "12", "--policy", "fixed", "--draft-length", "2")
# With the terminal as its controlling one, the child gets its Ctrl-C as a signal, as in a shell.
OWN_TERMINAL = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "from edgedraft.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


class Terminal:
    """A chat in a pseudo-terminal: what it shows, and keys for it."""

    def __init__(self, *arguments):
        self._ours, theirs = pty.openpty()
        command = [sys.executable, "-c", OWN_TERMINAL, "chat", *map(str, arguments), *SMALL]
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.child = subprocess.Popen(command, **streams, start_new_session=True)
        os.close(theirs)

    def expect(self, text, seconds=60.0):
        """What is shown up to and with ``text``."""
        seen, end = b"", time.monotonic() + seconds
        while text.encode() not in seen:
            ready, _, _ = select.select([self._ours], [], [], max(end - time.monotonic(), 0))
            assert ready, f"{text!r} did not come, only {seen!r}"
            seen += os.read(self._ours, 1)
        return seen.decode()

    def press(self, keys):
        os.write(self._ours, keys.encode())

    def interrupt(self):
        """Press Ctrl-C once the terminal waits for a key: Python misses one that comes just before."""
        time.sleep(1)
        self.press("\x03")

    def ask(self, keys):
        """Type a line; what is shown up to the next prompt."""
        self.press(keys + "\r")
        self.expect("\n")
        return self.expect("\x1b[?2004h> ")

    def close(self):
        self.child.kill()
        self.child.wait()
        os.close(self._ours)


@pytest.fixture
def terminal(tiny_bundle):
    opened = Terminal(tiny_bundle)
    opened.expect("\x1b[?2004h> ")  # readline asks the terminal to mark pasted text
    yield opened
    opened.close()


def test_a_terminal_session(terminal, tmp_path):
    said = terminal.ask("sort the list")
    assert "\x1b[36m" in said and "drafts kept" in said and "tokens/s" in said, "coloured drafts and a status line"
    assert "edgedraft: unknown command, got /hlep - did you mean /help?" in terminal.ask("/hlep")
    assert "not coloured" in terminal.ask("/marks off")
    assert "\x1b[36m" not in terminal.ask("\x1b[A\x1b[A\x1b[A"), "three arrows up: the first message again"
    terminal.ask("\x1b[200~merge\nthe list\x1b[201~")
    terminal.press('"""one\r')
    terminal.expect("... ")
    terminal.ask('two"""')
    assert "must fit into" in terminal.ask("sort the list " * 200)
    assert "[8 messages written to" in terminal.ask(f"/save {tmp_path}/talk.json")
    asked = [each["content"] for each in json.loads((tmp_path / "talk.json").read_text())["messages"][::2]]
    assert asked == ["sort the list", "sort the list", "merge\nthe list", "one\ntwo"]
    terminal.press("half a line")
    terminal.expect("half a line")
    terminal.interrupt()
    assert "Ctrl-C again" not in terminal.expect("> "), "only the line is dropped"
    terminal.interrupt()
    assert "Ctrl-C again" in terminal.expect("> ")
    terminal.interrupt()
    assert terminal.child.wait(10) == 0


def test_the_next_chat_knows_what_was_typed(terminal, tiny_bundle):
    terminal.ask("merge\\\rthe list")
    terminal.press("\x04")
    assert terminal.child.wait(10) == 0
    again = Terminal(tiny_bundle)
    again.expect("\x1b[?2004h> ")
    again.press("\x1b[A")
    again.expect("the list")
    again.close()


class Played:
    """A terminal whose lines are given; `KeyboardInterrupt` among them is Ctrl-C at the prompt."""

    def __init__(self, monkeypatch, *lines):
        self._lines = iter(lines)
        monkeypatch.setattr("builtins.input", self._next)
        monkeypatch.setattr(Console, "interactive", True)

    def _next(self, prompt):
        line = next(self._lines, None)
        if line is None:
            raise EOFError
        if line is KeyboardInterrupt:
            raise line
        return line


def chat(bundle, capsys, *options):
    assert main(["chat", str(bundle), "--threads", "2", "--json", *options]) == 0
    shown = capsys.readouterr()
    return json.loads(shown.out)["messages"], shown.err


@pytest.fixture
def pressed_at(monkeypatch):
    """Press Ctrl-C when the piece of a number is shown, each time."""
    counts = {"pieces": 0}
    plain = Console.piece

    def at(number):
        def piece(self, text, **facts):
            plain(self, text, **facts)
            counts["pieces"] += 1
            if counts["pieces"] == number:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(Console, "piece", piece)

    return at


def test_ctrl_c_stops_the_answer_and_keeps_the_talk(tiny_bundle, monkeypatch, capsys, pressed_at):
    pressed_at(3)
    Played(monkeypatch, "sort the list", "and merge", "/stats")
    messages, notes = chat(tiny_bundle, capsys, "--max-new-tokens", "40", "--plain")
    assert [each["role"] for each in messages] == ["user", "assistant", "user", "assistant"]
    assert 0 < len(messages[1]["content"]) < len(messages[3]["content"])
    assert "tokens, stopped, " in notes
    assert "2 answers" in notes


def test_a_second_ctrl_c_at_an_empty_prompt_ends(tiny_bundle, monkeypatch, capsys, pressed_at):
    pressed_at(3)
    Played(monkeypatch, "sort the list", KeyboardInterrupt, "never read")
    messages, _ = chat(tiny_bundle, capsys, "--max-new-tokens", "40", "--plain")
    assert [each["role"] for each in messages] == ["user", "assistant"]


def test_ctrl_c_before_the_first_token_takes_the_message_back(tiny_bundle, monkeypatch, capsys):
    from edgedraft.runtime.engine import Engine

    fit = Engine.fit
    presses = iter([True])

    def interrupted(*arguments):
        if next(presses, False):
            signal.raise_signal(signal.SIGINT)
        return fit(*arguments)

    monkeypatch.setattr(Engine, "fit", interrupted)
    Played(monkeypatch, "sort the list", "and merge")
    messages, notes = chat(tiny_bundle, capsys, "--max-new-tokens", "4")
    assert [each["content"] for each in messages][:1] == ["and merge"]
    assert "[stopped before the first token" in notes


def test_saved_talks_go_on_and_regen_answers_again(tiny_bundle, monkeypatch, capsys, tmp_path):
    file = tmp_path / "talk.json"
    Played(
        monkeypatch,
        "sort the list",
        f"/save {file}",
        "/clear",
        "",
        "more",
        f"/load {file}",
        "/regen",
        "/system be brief",
    )
    messages, _ = chat(tiny_bundle, capsys, "--max-new-tokens", "4")
    assert messages[0] == {"role": "system", "content": "be brief"}
    assert messages[1:] == json.loads(file.read_text())["messages"], "greedy: the same answer again"


def test_errors_end_a_chat_that_reads_a_pipe(tiny_bundle, monkeypatch, capsys):
    lines = iter(["/laod x"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert main(["chat", str(tiny_bundle), "--threads", "2"]) == 2
    assert "edgedraft: unknown command, got /laod - did you mean /load?" in capsys.readouterr().err


def test_a_history_that_cannot_be_kept_is_said_once(tiny_bundle, monkeypatch, capsys, tmp_path):
    (tmp_path / "state").write_text("a file, no folder")
    Played(monkeypatch, "sort", "merge")
    _, notes = chat(tiny_bundle, capsys, "--max-new-tokens", "2")
    assert notes.count("[what you type is not kept for the next chat: ") == 1


@pytest.mark.parametrize(
    ("wanted", "no_color", "terminal", "marks"),
    [
        (None, "", True, True),
        (None, "1", True, False),
        (True, "1", True, True),
        (False, "", True, False),
        (True, "", False, False),
    ],
)
def test_marks(monkeypatch, wanted, no_color, terminal, marks):
    from edgedraft.commands._chat_loop import _marks_at_first

    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(Console, "shows_colours", terminal)
    assert _marks_at_first(wanted, Console()) is marks
