"""Find the installed packages, and those that an extra lacks, from the metadata of distributions."""

import platform
import re
from collections.abc import Mapping, Sequence
from importlib import metadata

from edgedraft.devices.doctor.facts import Packages

_OURS, _FOLDER = "edgedraft", "onnxruntime"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_NESTED = re.compile(r"edgedraft\[([\w,-]+)\]")
_FOR_DEVELOPERS = ("dev", "optimum")


def examined_packages() -> Packages:
    """Read the metadata of this environment; without that of edgedraft itself, nothing is known to be needed."""
    try:
        needs = needed_by_extra(metadata.requires(_OURS) or ())
    except metadata.PackageNotFoundError:
        needs = {}
    names = dict.fromkeys([_OURS, *(name for each in needs.values() for name in each)])
    versions = {name: _version(name) for name in names}
    return Packages(
        python=platform.python_version(),
        versions=versions,
        extras={
            extra: tuple(name for name in each if versions[name] is None)
            for extra, each in needs.items()
            if extra not in _FOR_DEVELOPERS
        },
        onnxruntimes=tuple(sorted(set(metadata.packages_distributions().get(_FOLDER, ())))),
    )


def needed_by_extra(requirements: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the distributions that each extra needs; those without an extra are under the empty name.

    An extra that names others of edgedraft's needs theirs, too.
    """
    direct: dict[str, list[str]] = {}
    for line in requirements:
        extra = match[1] if (match := _EXTRA.search(line)) else ""
        direct.setdefault(extra, []).append(line)
    return {extra: tuple(dict.fromkeys(_names(extra, direct, ()))) for extra in direct}


def _names(extra: str, direct: Mapping[str, Sequence[str]], above: tuple[str, ...]) -> list[str]:
    names: list[str] = []
    for line in direct.get(extra, ()):
        nested = _NESTED.match(line)
        if nested is None:
            names += [match[0] for match in [_NAME.match(line)] if match]
        else:
            others = [other for other in nested[1].split(",") if other not in (*above, extra)]
            names += [name for other in others for name in _names(other, direct, (*above, extra))]
    return names


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
