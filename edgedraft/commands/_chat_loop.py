"""The loop of a chat: read a message, make its step, do what is left to do."""

import argparse
import os
from typing import TYPE_CHECKING

from edgedraft.console import Console
from edgedraft.interrupts import noting_interrupts
from edgedraft.line_editor import add_entry, begin_editing, interrupted_line
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.user_folders import state_folder
from edgedraft.runtime.talk.blocks import MessageLines
from edgedraft.runtime.talk.history import read_history, remember
from edgedraft.runtime.talk.saved import read_talk, save_talk, talk_path
from edgedraft.runtime.talk.state import Talk, TalkTotals, answer_line
from edgedraft.runtime.talk.steps import CHAT_COMMANDS, Deed, Step, next_step

if TYPE_CHECKING:
    from edgedraft.runtime.engine import Engine
    from edgedraft.runtime.text.streaming import Usage

_AGAIN = "Ctrl-C again, Ctrl-D or /exit ends the chat"


class ChatLoop:
    """One talk with an engine.

    From a pipe, an empty line ends it and an error is raised; at a terminal, the talk goes on after both.
    """

    def __init__(self, engine: "Engine", options: argparse.Namespace, console: Console) -> None:
        self.talk = Talk(system=options.system or "")
        self._engine, self._options, self._console = engine, options, console
        self._totals = TalkTotals()
        self._typed = console.interactive
        self._marks = _marks_at_first(options.marks, console)
        self._history = state_folder() / "chat-history.jsonl"
        self._keeps_history = self._typed
        self._interrupts = 0  # in a row

    def run(self) -> None:
        """Read and answer until the input ends."""
        if self._typed:
            begin_editing(read_history(self._history), list(CHAT_COMMANDS))
        while (text := self._read()) is not None:
            if text and self._ends(text):
                return

    def _read(self) -> str | None:
        """Return the next message, empty where there is none to answer; None at the end."""
        lines = MessageLines()
        message = None
        try:
            while message is None:
                line = self._console.read_line(self._prompt(lines))
                if line is None:
                    return lines.rest()
                message = lines.add(line)
        except KeyboardInterrupt:
            if not self._typed:
                raise
            return self._after_interrupt(empty=not lines.unfinished and not interrupted_line())
        if not message and not self._typed:
            return None
        self._interrupts = 0
        self._remember(message)
        return message

    def _prompt(self, lines: MessageLines) -> str:
        return "" if self._console.as_json else "... " if lines.unfinished else "> "

    def _after_interrupt(self, *, empty: bool) -> str | None:
        """Return what Ctrl-C at the prompt means: the line is dropped; at an empty one, the second ends the talk."""
        self._console.say()
        self._interrupts += 1
        if empty and self._interrupts > 1:
            return None
        if empty:
            self._console.note(f"[{_AGAIN}]")
        else:
            self._interrupts = 0
        return ""

    def _ends(self, text: str) -> bool:
        """Make the step of a text; return whether it ends the talk."""
        try:
            step = next_step(self.talk, text)
            self._do(step)
        except EdgedraftError as error:
            if not self._typed:
                raise
            self._console.note(f"edgedraft: {error}")
            return False
        except KeyboardInterrupt:
            if not self._typed:
                raise
            self._interrupts = 1
            self._console.say()
            self._console.note(f"[stopped before the first token; {_AGAIN}]")
            return False
        return step.deed is Deed.END

    def _do(self, step: Step) -> None:
        """Do what is left of a step; the talk changes only when that succeeds."""
        talk = step.talk
        match step.deed:
            case Deed.ANSWER:
                talk = self._answered(talk)
            case Deed.SAVE:
                save_talk(path := talk_path(step.text), talk)
                self._console.note(f"[{len(talk.messages)} messages written to {path}]")
            case Deed.LOAD:
                talk = read_talk(talk_path(step.text))
                self._console.note(f"[{len(talk.messages)} messages read; the talk goes on behind them]")
            case Deed.MARKS:
                self._switch_marks(step.text)
            case Deed.STATS:
                self._console.note(self._totals.line(self._engine.settings.context_length))
            case Deed.SAY:
                self._console.note(step.text)
        self.talk = talk

    def _answered(self, talk: Talk) -> Talk:
        """Stream the answer to the talk's last message; return the talk with it."""
        from edgedraft.commands._options import decoding_options
        from edgedraft.runtime.talk.answering import stoppable_pieces
        from edgedraft.runtime.text.streaming import LENGTH

        options = self._options
        prompt = self._engine.fit(talk.messages, options.max_new_tokens)
        if prompt.dropped_messages:
            self._console.note(f"[the context is full: the oldest {prompt.dropped_messages} messages were left out]")
        texts: list[str] = []
        usage: Usage | None = None
        reason: str | None = None
        with noting_interrupts() as note:
            for piece in stoppable_pieces(
                self._engine,
                prompt.token_ids,
                max_new_tokens=options.max_new_tokens,
                stop=options.stop,
                options=decoding_options(options),
                stopped=lambda: note.pressed,
            ):
                note.soft = self._typed
                texts.append(piece.text)
                usage, reason = piece.usage, piece.finish_reason
                self._console.piece(piece.text, marked=piece.drafted and self._marks)
        self._console.say()
        assert usage is not None, "the last piece of an answer carries it"
        self._show(usage, stopped=note.pressed, cut=reason == LENGTH)
        return talk.answered("".join(texts))

    def _show(self, usage: "Usage", *, stopped: bool, cut: bool) -> None:
        self._totals = self._totals.with_answer(usage)
        self._interrupts = 1 if stopped else 0
        reason = "cut by -n" if usage.completion_tokens >= self._options.max_new_tokens else "context full"
        ending = "stopped" if stopped else reason if cut else ""
        self._console.note(f"[{answer_line(usage, ending)}]")

    def _switch_marks(self, wanted: str) -> None:
        if not self._console.shows_colours:
            raise EdgedraftError("marks are colours of a terminal", remedy="write to one that has colours")
        self._marks = not self._marks if not wanted else wanted == "on"
        self._console.note(f"[drafted tokens are {'coloured' if self._marks else 'not coloured'}]")

    def _remember(self, message: str) -> None:
        if not self._keeps_history or not message:
            return
        add_entry(message)
        try:
            remember(self._history, message)
        except EdgedraftError as error:
            self._keeps_history = False
            self._console.note(f"[what you type is not kept for the next chat: {error}]")


def _marks_at_first(wanted: bool | None, console: Console) -> bool:
    """Return whether to colour drafted tokens: as asked, else unless NO_COLOR is set (https://no-color.org)."""
    return console.shows_colours and (not os.environ.get("NO_COLOR") if wanted is None else wanted)
