"""Recognise the multi-token-prediction head of a checkpoint, beside a whole model or alone in a folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgedraft.exporter.models.mtp.forms import form_of
from edgedraft.exporter.models.mtp.reading import CONFIG, find_head
from edgedraft.exporter.models.packaged_models import packaged_models
from edgedraft.exporter.models.sources import (
    HUGGING_FACE,
    ModelSource,
    check_reference,
    hub_folder,
    is_on_disk,
    resolve,
)
from edgedraft.exporter.models.whole_files import safetensors_header
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require

OWN = "mtp"
"""Stands for the head that the target's checkpoint carries."""
CHOICE = f"#{OWN}"
"""Behind a reference: not the model itself but its head."""
HEAD_SOURCE = "mtp-head"
"""The kind of a `ModelSource` that is a head."""

_DECLARED = ("mtp_num_hidden_layers", "num_nextn_predict_layers", "num_mtp_layers")


def head_source(reference: str, cache: Path, progress: Progress = silent) -> ModelSource | None:
    """Return the head that ``reference`` names, with `CHOICE` or as a folder that holds nothing else; else None."""
    if not reference.endswith(CHOICE):
        path = Path(reference).expanduser()
        alone = path.is_dir() and is_head_alone(path)
        return _as_head(resolve(reference, cache, progress)) if alone else None
    model = reference.removesuffix(CHOICE)
    source = resolve(model, cache, progress)
    remedy = "give the Hugging Face folder or hub id of a checkpoint that carries one"
    rule = f"{reference}: expected a multi-token-prediction head in safetensors"
    held = source.kind == HUGGING_FACE and find_head(source.path) is not None
    require(held, rule, got="none" if source.kind == HUGGING_FACE else source.kind, remedy=remedy)
    return _as_head(source)


def carries_head(target: str, cache: Path, progress: Progress = silent) -> bool:
    """Return whether the checkpoint of ``target`` carries a head, by its tensors.

    A hub repository is downloaded for that only if its configuration declares one.
    """
    check_reference(target)
    if target in {model.name for model in packaged_models()}:
        return False
    if not is_on_disk(target):
        declared = _declares(hub_folder(target, cache, only=[CONFIG]) / CONFIG)
        return declared and find_head(resolve(target, cache, progress).path) is not None
    path = Path(target).expanduser()
    if not path.is_dir():
        return False
    try:
        return find_head(path) is not None
    except EdgedraftError:
        return False  # files that are not whole: other checks report them


def is_head_alone(folder: Path) -> bool:
    """Return whether the tensors in ``folder`` are those of a head and nothing else."""
    try:
        names = [name for file in sorted(folder.glob("*.safetensors")) for name in safetensors_header(file)]
    except EdgedraftError:
        return False
    form = form_of(names)
    return form is not None and all(form.pattern.fullmatch(name) for name in names)


def _as_head(source: ModelSource) -> ModelSource:
    name = f"{source.name}-{OWN}"
    return replace(source, kind=HEAD_SOURCE, name=name, identity=f"{source.identity} {OWN}")


def _declares(file: Path) -> bool:
    config = read_json(file, infinite=True) if holds_file(file) else None
    parts = (config, config.get("text_config")) if isinstance(config, Mapping) else ()
    return any(bool(part.get(key)) for part in parts if isinstance(part, Mapping) for key in _DECLARED)
