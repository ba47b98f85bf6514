"""Write docs/api.md from the docstrings of the public names: ``python docs/make_api.py``."""

import dataclasses
import inspect
import re
from pathlib import Path

import edgedraft

_HEAD = """# Python API

Every public name of `edgedraft`, from its docstring. `python docs/make_api.py` writes this page; a test compares it.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    names = [name for name in edgedraft.__all__ if not name.startswith("__")]
    return "\n".join([_HEAD, *(_section(name, getattr(edgedraft, name)) for name in names)])


def _section(name: str, value: object) -> str:
    """Return the section of one public name: heading, signature, docstring and public members."""
    parts = [f"## `{name}`\n", _signature(name, value), _text(value)]
    if inspect.isclass(value):
        parts += [_member(name, key, member) for key, member in vars(value).items() if _is_public(key, member)]
    return "\n".join(part for part in parts if part)


def _member(owner: str, name: str, value: object) -> str:
    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    if isinstance(function, property):
        return f"### `{owner}.{name}`\n\n{_text(function)}"
    return f"### `{owner}.{name}`\n\n{_signature(name, function)}{_text(function)}"


def _is_public(name: str, value: object) -> bool:
    if name.startswith("_"):
        return False
    return isinstance(value, property | classmethod | staticmethod) or inspect.isfunction(value)


def _signature(name: str, value: object) -> str:
    """Return the signature as a code block; a record's fields are its signature."""
    if isinstance(value, type) and issubclass(value, Exception):
        return ""
    if isinstance(value, type) and dataclasses.is_dataclass(value):
        lines = [f"    {field.name}: {_annotation(field.type)}{_default(field)}" for field in dataclasses.fields(value)]
        return "```text\n" + "\n".join([f"{name}(", *lines, ")"]) + "\n```\n"
    target = value if not inspect.isclass(value) else value.__new__ if "__new__" in vars(value) else value.__init__
    text = f"```text\n{name}{inspect.signature(target)}\n```\n"  # type: ignore[arg-type]
    text = re.sub(r"<function (\w+) at 0x\w+>", r"\1", text)  # a default's address differs in every process
    return re.sub(r"\((self|cls)(, )?", "(", text, count=1)


def _annotation(value: object) -> str:
    return value if isinstance(value, str) else inspect.formatannotation(value)


def _default(field: "dataclasses.Field[object]") -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {field.default!r}"
    return "" if field.default_factory is dataclasses.MISSING else " = ..."


def _text(value: object) -> str:
    return f"{inspect.getdoc(value) or ''}\n"


if __name__ == "__main__":
    Path(__file__).with_name("api.md").write_text(page(), encoding="utf-8")
