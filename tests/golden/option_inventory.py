"""List every command's options as argparse holds them: names, defaults, choices; no help text."""

import argparse
from pathlib import Path
from unittest import mock

from edgedraft.__main__ import main

_TYPES = {None: None, int: "int", float: "float", Path: "path"}
"""Names of the types that options are read as; functions of our own may be renamed."""


def option_inventory() -> dict[str, object]:
    """Return each command's options, and its positional arguments in order, by the command's words."""
    inventory: dict[str, object] = {}
    for name in _parts(_parser([])):
        # Each is asked for by name: a command line may build the commands that were not asked for only in part.
        _add(inventory, _parts(_parser([name]))[name], name)
    return inventory


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    """The parser that a command line is parsed with, caught before it parses."""
    caught = []

    def catch(self: argparse.ArgumentParser, *_: object) -> None:
        caught.append(self)
        raise KeyboardInterrupt

    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", catch):
        main(arguments)
    assert caught, "the command line parsed nothing"
    return caught[0]


def _parts(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(choices[0]) if choices else {}


def _add(inventory: dict[str, object], parser: argparse.ArgumentParser, name: str) -> None:
    groups = [group._group_actions for group in parser._mutually_exclusive_groups]
    options, positional = {}, []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        exclusive = [group for group in groups if action in group]
        facts = _facts(parser, action)
        if exclusive:
            facts["not with"] = sorted(other.option_strings[0] for other in exclusive[0] if other is not action)
        if action.option_strings:
            options |= dict.fromkeys(action.option_strings, facts)
        else:
            positional.append(facts)
    inventory[name] = {"options": dict(sorted(options.items())), "positional": positional}
    for part, below in _parts(parser).items():
        _add(inventory, below, f"{name} {part}")


def _facts(parser: argparse.ArgumentParser, action: argparse.Action) -> dict[str, object]:
    facts = {
        "takes": type(action).__name__.strip("_").removesuffix("Action"),
        "type": _TYPES.get(action.type, "checked"),
        "values": action.nargs,
        "default": _plain(parser.get_default(action.dest)),
        "required": action.required,
        "choices": None if action.choices is None else list(action.choices),
    }
    return {key: value for key, value in facts.items() if value is not None and value is not False}


def _plain(value: object) -> object:
    """A default as JSON."""
    if isinstance(value, str | int | float | None):
        return "(none: left out)" if value == argparse.SUPPRESS else value
    if isinstance(value, Path):
        return value.as_posix()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else repr(value)


def lost(recorded: object, found: object, where: str = "") -> list[str]:
    """Return a line for everything recorded that is gone or differs, a fact that an option gained included.

    More commands, options and choices are no loss: a renamed option keeps its old name beside the new one.
    """
    if isinstance(recorded, dict) and isinstance(found, dict):
        gone = [f"{where}{key}: gone" for key in recorded if key not in found]
        both = [key for key in recorded if key in found]
        new = [f"{where}{key}: new" for key in found if key not in recorded and "takes" in recorded]
        return gone + new + [line for key in both for line in lost(recorded[key], found[key], f"{where}{key}: ")]
    if where.endswith("choices: ") and isinstance(recorded, list) and isinstance(found, list):
        return [f"{where}{choice}: gone" for choice in recorded if choice not in found]
    if isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        pairs = enumerate(zip(recorded, found, strict=True))
        return [line for number, (one, other) in pairs for line in lost(one, other, f"{where}{number}: ")]
    return [] if recorded == found else [f"{where}recorded {recorded!r}, now {found!r}"]
