"""The folder for fetched and converted models."""

import os
from pathlib import Path

from edgedraft.runtime.base.errors import MissingExtraError


def cache_folder(given: str | Path | None = None) -> Path:
    """Return where fetched models stay: ``given``, else ``EDGEDRAFT_CACHE``, else the user's cache folder."""
    if given:
        return Path(given)
    if chosen := os.environ.get("EDGEDRAFT_CACHE"):
        return Path(chosen)
    try:
        import platformdirs
    except ImportError as error:
        raise MissingExtraError("platformdirs", "export") from error
    return platformdirs.user_cache_path("edgedraft")
