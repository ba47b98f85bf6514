"""The SQLite file that keeps a search's trials: checked before the work, so that no other file is written to."""

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from edgedraft.runtime.base.errors import EdgedraftError, first_line
from edgedraft.runtime.base.outputs import require_file_name
from edgedraft.runtime.base.records import require

_ROOTS = {"studies", "version_info"}
_TABLES = _ROOTS | {
    *("alembic_version", "study_directions", "study_system_attributes", "study_user_attributes", "trials"),
    *("trial_heartbeats", "trial_intermediate_values", "trial_params", "trial_system_attributes"),
    *("trial_user_attributes", "trial_values"),
}
"""The tables of Optuna 4, which creates the first two before all others."""


def require_storage(path: Path) -> None:
    """Refuse a file that is not a search's, or that cannot be written; call this before long work.

    A search adds to its file in SQLite's transactions: a kill loses at most the trial that was running. An empty file
    may be taken, as a kill at the very beginning leaves one.
    """
    require_file_name(path)
    if not path.exists() or path.stat().st_size == 0:
        return
    rule, remedy = f"{path}: not a file that searches are kept in", "name a new file"
    try:
        # Writable, since SQLite first undoes what a killed writer began.
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=rw", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise EdgedraftError(rule, got=first_line(error), remedy=remedy) from error
    foreign = sorted(tables - _TABLES)
    require(not foreign, rule, got=f"a database with the table {foreign[0]}" if foreign else None, remedy=remedy)
    require(not tables or bool(tables & _ROOTS), rule, got="a database of something else", remedy=remedy)
