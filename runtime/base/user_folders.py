"""Find the user's folders for what a program remembers between runs, and for what it can make again."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_NAME = "edgedraft"


def state_folder(system: str = sys.platform, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the user's state folder of edgedraft on ``system``, as in `sys.platform`; it may not exist yet.

    Source: the XDG base directory specification; relative paths in XDG_STATE_HOME are ignored, as it demands.
    """
    if system == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / _NAME
    if system == "darwin":
        return Path.home() / "Library" / "Application Support" / _NAME
    given = Path(environment.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "state") / _NAME


def user_cache(system: str = sys.platform, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of fetched and converted models, as platformdirs would; EDGEDRAFT_CACHE goes before it."""
    if chosen := environment.get("EDGEDRAFT_CACHE"):
        return Path(chosen)
    if system == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / _NAME / _NAME / "Cache"
    if system == "darwin":
        return Path.home() / "Library" / "Caches" / _NAME
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / _NAME
