"""Fields of a posted JSON object: each is read once, checked and bounded; those that are left are unknown."""

from collections.abc import Mapping
from typing import Any

from edgedraft.runtime.base.errors import shown
from edgedraft.runtime.serving.openai.errors import ApiError


class Fields:
    """Reads the fields of one object; a field that is null counts as left out. ``within`` begins the names in errors.

    Raises `ApiError` with the field's name for a value of a wrong type or out of bounds.
    """

    def __init__(self, data: object, within: str = "") -> None:
        if not isinstance(data, Mapping):
            raise ApiError(f"{within or 'the body'}: expected a JSON object", got=shown(data), param=within or None)
        self._left = {str(name): value for name, value in data.items() if value is not None}
        self._within = f"{within}." if within else ""

    def take(self, name: str) -> Any:
        """Return a field as it is, None if it was left out."""
        return self._left.pop(name, None)

    def whole(self, name: str, least: int, most: int) -> int | None:
        """Return a whole number within bounds; None if it was left out."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)  # JavaScript knows no other numbers
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, f"expected a whole number in {least}..{most}", value)
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """Return a number within bounds; None if it was left out."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, f"expected a number in {least:g}..{most:g}", value)
        return float(value)

    def flag(self, name: str) -> bool | None:
        """Return true or false; None if it was left out."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "expected true or false", value)
        return value

    def text(self, name: str) -> str | None:
        """Return a text; None if it was left out."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, "expected a text", value)
        return value

    def objects(self, name: str, most: int) -> list[Mapping[str, Any]]:
        """Return a list of at most ``most`` objects; an empty one if it was left out."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value) or len(value) > most:
            raise self.wrong(name, f"expected a list of at most {most} objects", value)
        return value

    def nested(self, name: str) -> "Fields | None":
        """Return the fields of an object; None if it was left out."""
        value = self.take(name)
        return None if value is None else Fields(value, f"{self._within}{name}")

    def require_neutral(self, neutral: Mapping[str, tuple[Any, ...]], without_effect: frozenset[str]) -> None:
        """Refuse what is left, but for fields ``without_effect`` on a text, and values that change nothing.

        ``neutral`` lists such values by field.
        """
        for name, value in self._left.items():
            if name in without_effect or value in neutral.get(name, ()):
                continue
            if name in neutral:
                allowed = " or ".join(shown(each) for each in neutral[name])
                raise self.wrong(name, f"only {allowed} is supported", value, code="unsupported_value")
            raise self.wrong(name, "unknown field", None, code="unknown_field")
        self._left.clear()

    def wrong(self, name: str, rule: str, value: object, code: str | None = None) -> ApiError:
        """Return the error for a field's value."""
        param = f"{self._within}{name}"[:100]
        return ApiError(f"{param}: {rule}", got=None if value is None else shown(value), param=param, code=code)
