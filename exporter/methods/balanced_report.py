"""What method balanced leaves in its output folder: the reference tool's three files, each written whole or not."""

from pathlib import Path
from typing import Any

from edgedraft.exporter.methods.balanced import BalancedResult
from edgedraft.exporter.methods.utility import Weighed
from edgedraft.exporter.planning.figures import require_own_pictures
from edgedraft.exporter.planning.pictures import draw_balanced
from edgedraft.runtime.files import require_own_file, write_json
from edgedraft.runtime.records import require, to_plain

SUMMARY, FULL, PICTURE = "summary.json", "full_results.json", "optimization_results.png"

_METHOD = "scan"


def summary(result: BalancedResult) -> dict[str, Any]:
    """The choice in one look; ``vocab_reduction_ratio`` = 1 - K/V."""
    chosen = result.chosen
    return {
        "method": _METHOD,
        "optimal_draft_vocab_size": chosen.size,
        "target_vocab_size": result.target_vocab_size,
        "vocab_reduction_ratio": 1 - chosen.size / result.target_vocab_size,
        **_worth(chosen),
    }


def full_results(result: BalancedResult) -> dict[str, Any]:
    """Everything: what the reference tool writes, and beside it the trials in order and the scan against TPE."""
    chosen, by_tpe = result.chosen, result.by_tpe
    evaluated = {str(trial.weighed.size): _worth(trial.weighed) for trial in result.trials}
    return {
        "method": _METHOD,
        "optimal_vocab_size": chosen.size,
        **_worth(chosen),
        "n_trials": len(result.trials),
        "all_evaluations": {**evaluated, str(chosen.size): _worth(chosen)},
        "trials": [{**to_plain(trial.weighed), "feasible": trial.feasible} for trial in result.trials],
        "tpe": None if by_tpe is None else to_plain(by_tpe),
        "scan": to_plain(chosen),
        "utility_missed_by_tpe": result.missed_by_tpe,
        "worthwhile_share": result.worthwhile_share if result.settings.utility.coverage_weight > 0 else None,
        "curve": to_plain(result.curve),
        "settings": to_plain(result.settings.utility) | {"random_state": result.settings.search.seed},
    }


def require_reports_folder(folder: Path) -> None:
    """Refuse a folder where the reports would replace other files; callers ask before they begin to count."""
    require(not folder.exists() or folder.is_dir(), f"{folder}: expected a folder for reports", got="a file")
    for name in (SUMMARY, FULL):
        require_own_file(folder / name, "a report of method balanced", f'"method": "{_METHOD}"'.encode())
    require_own_pictures(folder / PICTURE)


def write_reports(result: BalancedResult, folder: Path) -> tuple[Path, ...]:
    """Write the summary, all results and the picture into ``folder``, and say where they are."""
    require_reports_folder(folder)
    paths = tuple(folder / name for name in (SUMMARY, FULL, PICTURE))
    write_json(paths[0], summary(result))
    write_json(paths[1], full_results(result))
    feasible = [trial.weighed for trial in result.trials if trial.feasible]
    draw_balanced(result.curve, feasible, result.chosen, paths[2])
    return paths


def _worth(weighed: Weighed) -> dict[str, float]:
    return {
        "coverage": weighed.coverage,
        "latency_reduction": weighed.latency_reduction,
        "utility": weighed.utility,
    }
