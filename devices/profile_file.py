"""A device profile's TOML file: reading it with the file and key in every error, writing it whole or not at all."""

import dataclasses
import itertools
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

from edgedraft.devices.profile import DeviceProfile, Probe
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line, naming
from edgedraft.runtime.base.outputs import require_file_name
from edgedraft.runtime.base.plain_files import read_plain
from edgedraft.runtime.base.records import from_plain, require
from edgedraft.runtime.base.replacing import replacing_file

_MOST_BYTES = 2**24


def read_profile(path: Path) -> DeviceProfile:
    """Read the profile in ``path``; raise `EdgedraftError` with file and key at what is missing or impossible."""
    try:
        text = read_plain(path, _MOST_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise EdgedraftError(f"{path}: not valid TOML", got=str(error)) from error
    return parse_profile(text, str(path))


def parse_profile(text: str, where: str) -> DeviceProfile:
    """Parse the profile that ``text`` describes in TOML; errors begin with ``where``."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and tables that nest deeply
        raise EdgedraftError(f"{where}: not valid TOML", got=first_line(error)) from error
    with naming(where):
        return from_plain(DeviceProfile, data, where)


def require_profile_file(path: Path) -> None:
    """Refuse to replace a file that is no device profile; callers check this before they measure."""
    require_file_name(path)
    remedy = "move it elsewhere, or choose another output"
    require(not path.exists() or _is_probed(path), f"{path}: exists and is not a probe's profile", remedy=remedy)


def free_profile_file(folder: Path, name: str) -> Path:
    """Return ``name``.toml in ``folder``, with a number where something else than a probe's profile has that name."""
    names = (f"{name}{'' if count == 1 else f'-{count}'}.toml" for count in itertools.count(1))
    return next(path for path in map(folder.joinpath, names) if not path.exists() or _is_probed(path))


def _is_probed(path: Path) -> bool:
    try:
        return read_profile(path).probe is not None
    except EdgedraftError:
        return False


def write_profile(path: Path, profile: DeviceProfile) -> None:
    """Write ``profile`` as TOML, atomically; what has its default value is left out."""
    toml = _tomli_w()
    text: str = toml.dumps(_differing(dataclasses.replace(profile, probe=None)))
    if profile.probe is not None:
        text += _probe_text(toml, profile.probe)
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _tomli_w() -> ModuleType:
    try:
        import tomli_w
    except ImportError as error:
        raise MissingExtraError("tomli_w", "probe") from error
    return tomli_w


def _differing(value: object) -> Any:
    """Return a record as plain data without the fields that have their default: TOML has no None."""
    if dataclasses.is_dataclass(value):
        values = {
            field.name: getattr(value, field.name) for field in dataclasses.fields(value) if _differs(value, field)
        }
        return {name: _differing(item) for name, item in values.items()}
    return [_differing(item) for item in value] if isinstance(value, tuple) else value


def _differs(record: object, field: "dataclasses.Field[Any]") -> bool:
    return bool(getattr(record, field.name) != field.default)


def _probe_text(toml: ModuleType, probe: Probe) -> str:
    """Return the probe as the file's last table, a line for each record in it: a probe has hundreds of steps."""
    plain = _differing(probe)
    lists = {name: plain.pop(name) for name, item in list(plain.items()) if _is_record_list(item)}
    inline = "".join(_inline(toml, name, records) for name, records in lists.items())
    return f"\n{toml.dumps({'probe': plain})}{inline}"


def _is_record_list(item: object) -> bool:
    return isinstance(item, list) and bool(item) and isinstance(item[0], dict)


def _inline(toml: ModuleType, name: str, records: list[dict[str, Any]]) -> str:
    lines = [", ".join(toml.dumps(record).strip().split("\n")) for record in records]
    body = "".join(f"    {{ {line} }},\n" for line in lines)
    return f"{name} = [\n{body}]\n"
