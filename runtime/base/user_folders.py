"""Find the folder for what a program remembers between runs, such as the history of typed lines."""

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
