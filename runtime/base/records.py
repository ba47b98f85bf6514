"""Frozen records to and from plain JSON/TOML data, checked once, with the key path in every error."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from edgedraft.runtime.base.errors import EdgedraftError, shown

_LARGEST = 2**63 - 1
_SHOWN_KEYS = 4


class _Dataclass(Protocol):
    """The type of any dataclass, for type checkers."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


Record = TypeVar("Record", bound=_Dataclass)


def to_plain(value: object) -> Any:
    """Return a record as nested dicts, lists, strings, numbers and booleans, or as its own ``json_form``."""
    if hasattr(value, "json_form"):
        return value.json_form()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(record: type[Record], data: object, where: str) -> Record:
    """Build ``record`` from plain data; unknown, missing and mistyped keys raise `EdgedraftError` naming ``where``."""
    if not isinstance(data, Mapping):
        raise EdgedraftError(f"{where}: expected an object", got=type(data).__name__)
    from_json_form = getattr(record, "from_json_form", None)
    data = data if from_json_form is None else from_json_form(data)
    hints = typing.get_type_hints(record)
    fields = {field.name: field for field in dataclasses.fields(record)}
    unknown = sorted(set(map(str, data)) - set(fields))
    if unknown:
        raise EdgedraftError(f"{where}: unknown key", got=_few(unknown))
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise EdgedraftError(f"{where}: missing key {name}")
    return record(**values)


def _convert(hint: Any, value: object, where: str) -> object:
    """Convert ``value`` to the type ``hint``, or raise an error that names ``where``."""
    if hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _convert(next(a for a in arguments if a is not types.NoneType), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise EdgedraftError(f"{where}: expected a list", got=type(value).__name__)
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (dict, Mapping) or hint is Mapping:
        if not isinstance(value, Mapping):
            raise EdgedraftError(f"{where}: expected an object", got=type(value).__name__)
        return {str(key): _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast(type[_Dataclass], hint), value, where)
    return _scalar(hint, value, where)


def _scalar(hint: type, value: object, where: str) -> object:
    """Check a bool, int, float or str; an int is accepted for a float, a bool never for a number.

    Numbers are finite, and whole ones fit 64 bits.
    """
    number = hint if hint in (int, float) and isinstance(value, int) and not isinstance(value, bool) else None
    if number is not None and abs(value) > _LARGEST:  # type: ignore[arg-type]
        raise EdgedraftError(f"{where}: expected a number of at most 64 bits", got=shown(value))
    if number is float:
        return float(value)  # type: ignore[arg-type]
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise EdgedraftError(f"{where}: expected {hint.__name__}", got=shown(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise EdgedraftError(f"{where}: expected a finite number", got=value)
    return value


def _few(names: typing.Sequence[str]) -> str:
    listed = ", ".join(names[:_SHOWN_KEYS])
    return listed if len(names) <= _SHOWN_KEYS else f"{listed} and {len(names) - _SHOWN_KEYS} more"


def require(condition: bool, rule: str, *, got: object = None, remedy: str | None = None) -> None:
    """Raise `EdgedraftError` unless ``condition`` holds."""
    if not condition:
        raise EdgedraftError(rule, got=got, remedy=remedy)
