"""Recognise an EAGLE drafter by its configuration and the names of its tensors."""

from collections.abc import Mapping
from pathlib import Path

from edgedraft.exporter.models.eagle.reading import CONFIG
from edgedraft.exporter.models.packaged_models import packaged_models
from edgedraft.exporter.models.sources import HUGGING_FACE, ModelSource, hub_folder, is_on_disk, resolve
from edgedraft.exporter.vocab.torch_files import read_torch
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.tensors import tensor_names

_FUSING, _NAME = "fc.weight", "eagle"


def eagle_source(reference: str, cache: Path, progress: Progress = silent) -> ModelSource | None:
    """Return the EAGLE layer that ``reference`` names; None for any other model.

    A hub repository counts if its name or its configuration says EAGLE: no weights are downloaded to find out.
    """
    if is_on_disk(reference):
        path = Path(reference).expanduser()
        return resolve(reference, cache, progress) if path.is_dir() and is_eagle(path) else None
    if reference in {model.name for model in packaged_models()}:
        return None
    named = _NAME in reference.lower() or is_eagle(hub_folder(reference, cache, only=[CONFIG]))
    source = resolve(reference, cache, progress) if named else None
    return source if source is not None and source.kind == HUGGING_FACE and is_eagle(source.path) else None


def is_eagle(folder: Path) -> bool:
    """Return whether ``folder`` holds an EAGLE drafter: by its configuration, or by its fusing product.

    EAGLE-1 and 2 have the configuration of their target. Torch files are opened only if there is no tokenizer in the
    folder, since whole models have one. Unreadable files count as no EAGLE drafter: other checks report them.
    """
    file = folder / CONFIG
    config = read_json(file, infinite=True) if holds_file(file) else None
    if isinstance(config, Mapping):
        said = f"{config.get('architectures')} {config.get('speculators_model_type')}".lower()
        if _NAME in said:
            return True
    try:
        return _FUSING in _names(folder)
    except EdgedraftError:
        return False


def _names(folder: Path) -> set[str]:
    stored = sorted(folder.glob("*.safetensors"))
    names = {name for path in stored for name in tensor_names(path)}
    alone = not stored and not any(folder.glob("tokenizer*"))
    for path in folder.glob("pytorch_model*.bin") if alone else ():
        content = read_torch(path)
        names |= set(content) if isinstance(content, Mapping) else set()
    return names
