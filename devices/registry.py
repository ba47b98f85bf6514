"""The registry: devices that ship with the package or that users describe, looked up by the names people type."""

import difflib
import functools
import importlib.resources
import re
import unicodedata
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

from edgedraft.devices.profile import DeviceProfile
from edgedraft.devices.profile_file import parse_profile, read_profile
from edgedraft.runtime.base.errors import EdgedraftError

_SUGGESTIONS = 3
_CHOICES = 6
_CLOSE = 0.6
"""Ratio of `difflib.SequenceMatcher` from which two names are alike."""
_LIST = "`edgedraft devices list` names all devices"


@functools.cache
def shipped_profiles() -> tuple[DeviceProfile, ...]:
    """Every profile that ships with the package, by file name."""
    files = sorted(
        (file for file in _shipped_folder().iterdir() if file.name.endswith(".toml")), key=lambda f: Path(f.name).stem
    )
    return tuple(parse_profile(file.read_text(encoding="utf-8"), file.name) for file in files)


def known_profiles(own: Path | None = None) -> tuple[DeviceProfile, ...]:
    """Return the profiles in the folder ``own``, if there is one, then the shipped ones that they do not replace."""
    mine = _own_profiles(own)
    return mine + _not_replaced(mine)


def find_profile(name: str, own: Path | None = None) -> DeviceProfile:
    """Find the one device whose id, name, alias or chip is ``name``, or read the profile in the file ``name``.

    Letter case, spaces and punctuation do not matter. Profiles in the folder ``own`` come before the shipped ones.
    A name that no device or several devices have is an `EdgedraftError` with the nearest ones.
    """
    if name.lower().endswith(".toml"):
        return read_profile(Path(name))
    mine = _own_profiles(own)
    shipped = _not_replaced(mine)
    for profiles in (mine, shipped):
        matches = _called(name, profiles)
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise _ambiguous(name, matches)
    alike = _with_all_words(name, mine + shipped)
    raise _ambiguous(name, alike) if len(alike) > 1 else _unknown(name, alike or _nearest(name, mine + shipped))


def _shipped_folder() -> Traversable:
    return importlib.resources.files("edgedraft.devices") / "profiles"


def _own_profiles(own: Path | None) -> tuple[DeviceProfile, ...]:
    return () if own is None else tuple(read_profile(path) for path in sorted(own.glob("*.toml")))


def _not_replaced(mine: Sequence[DeviceProfile]) -> tuple[DeviceProfile, ...]:
    """Return the shipped profiles whose id none of ``mine`` has."""
    replaced = {profile.id for profile in mine}
    return tuple(profile for profile in shipped_profiles() if profile.id not in replaced)


def _names(profile: DeviceProfile) -> tuple[str, ...]:
    return (profile.id, profile.name, profile.soc, *profile.aliases)


def _key(name: str) -> str:
    """Return the letters and digits of a name: 'Snapdragon 8 Gen-3' and 'snapdragon-8-gen 3' are one name."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


def _words(name: str) -> set[str]:
    return set(re.findall(r"\w+", unicodedata.normalize("NFKC", name).casefold()))


def _called(name: str, profiles: Sequence[DeviceProfile]) -> list[DeviceProfile]:
    """Devices of that very id, else of that name: an id may read like the chip that other devices have too."""
    key = _key(name)
    same_id = [profile for profile in profiles if profile.id == name]
    return same_id or [profile for profile in profiles if key in {_key(own) for own in _names(profile)}]


def _with_all_words(name: str, profiles: Sequence[DeviceProfile]) -> list[DeviceProfile]:
    """Devices one of whose names has every word of ``name``."""
    words = _words(name)
    return [profile for profile in profiles if words and any(words <= _words(own) for own in _names(profile))]


def _nearest(name: str, profiles: Sequence[DeviceProfile]) -> list[DeviceProfile]:
    """Return the few devices with a name most like ``name``, nearest first."""
    key = _key(name)
    likeness = [max(difflib.SequenceMatcher(None, key, _key(own)).ratio() for own in _names(p)) for p in profiles]
    order = sorted(range(len(profiles)), key=lambda i: -likeness[i])
    return [profiles[i] for i in order if likeness[i] >= _CLOSE][:_SUGGESTIONS]


def _ambiguous(name: str, matches: Sequence[DeviceProfile]) -> EdgedraftError:
    more = f", or one of {len(matches) - _CHOICES} more: {_LIST}" if len(matches) > _CHOICES else "?"
    rule = f"--device: {name!r} could be {len(matches)} devices"
    return EdgedraftError(rule, remedy=f"did you mean {_listed(matches[:_CHOICES])}{more}")


def _unknown(name: str, nearest: Sequence[DeviceProfile]) -> EdgedraftError:
    remedy = f"did you mean {_listed(nearest)}?" if nearest else _LIST
    return EdgedraftError(f"--device: no device is called {name!r}", remedy=remedy)


def _listed(profiles: Sequence[DeviceProfile]) -> str:
    return ", ".join(f'"{profile.name}" ({profile.id})' for profile in profiles)
