"""Run a command in this process as a shell would, and keep its exit code, its result and its error."""

import contextlib
import io
import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from unittest import mock

from edgedraft.__main__ import main

_CHOICES = re.compile(r" \(choose from .*\)$")  # quoted by some versions of Python, not by others


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """An exit code, standard output, and the lines of standard error that report a mistake."""

    code: int | str
    out: str
    errors: tuple[str, ...]


def arguments_of(command: str, places: Mapping[str, str]) -> list[str]:
    """Split a command line as a shell does, then put paths in place of their names."""
    return [word.format_map(places) for word in shlex.split(command)]


def run(arguments: list[str], typed: str = "") -> Ran:
    """Run ``edgedraft`` with ``arguments``; an exception becomes its exit code, so that later commands still run."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.StringIO(typed)),
    ):
        try:
            code: int | str = main(arguments)
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else str(stopped.code)
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
    lines = err.getvalue().splitlines()
    errors = [_CHOICES.sub("", line) for line in lines if re.match(r"edgedraft( [a-z]+)*: ", line)]
    return Ran(code=code, out=out.getvalue(), errors=tuple(errors))


def record_of(ran: Ran) -> dict[str, object]:
    """Return what is recorded of a run: JSON where it printed JSON, else its lines."""
    try:
        printed = json.loads(ran.out) if ran.out else None
    except json.JSONDecodeError:
        printed = ran.out.splitlines()
    errors = {"errors": list(ran.errors)} if ran.errors else {}
    return {"exit": ran.code, **errors, "printed": printed}
