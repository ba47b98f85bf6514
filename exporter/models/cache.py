"""The folder for fetched and converted models."""

from pathlib import Path

from edgedraft.runtime.base.user_folders import user_cache


def cache_folder(given: str | Path | None = None) -> Path:
    """Return where fetched models stay: ``given``, else ``EDGEDRAFT_CACHE``, else the user's cache folder."""
    return Path(given) if given else user_cache()
