"""The folder for fetched and converted models."""

import os
from pathlib import Path

from edgedraft.runtime.base.errors import MissingExtraError


def cache_folder() -> Path:
    """Return ``EDGEDRAFT_CACHE`` where it is set, else the user's cache folder."""
    if chosen := os.environ.get("EDGEDRAFT_CACHE"):
        return Path(chosen)
    try:
        import platformdirs
    except ImportError as error:
        raise MissingExtraError("platformdirs", "export") from error
    return platformdirs.user_cache_path("edgedraft")
