"""Recognise an EAGLE drafter by its configuration and the names of its tensors."""

from collections.abc import Mapping
from pathlib import Path

from edgedraft.exporter.models.eagle.fitting import description
from edgedraft.exporter.models.eagle.reading import CONFIG, read_eagle
from edgedraft.exporter.vocab.torch_files import read_torch
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.tensors import tensor_names

_FUSING = "fc.weight"


def refuse_eagle(folder: Path) -> None:
    """Refuse the folder of an EAGLE drafter where a whole model is needed; the error says what was found."""
    if is_eagle(folder):
        raise EdgedraftError(
            f"{folder}: expected a model that decodes by itself",
            got=description(read_eagle(folder)),
            remedy="choose an independent drafter: bundles of EAGLE layers are not made yet",
        )


def is_eagle(folder: Path) -> bool:
    """Return whether ``folder`` holds an EAGLE drafter: by its configuration, or by its fusing product.

    EAGLE-1 and 2 have the configuration of their target. Torch files are opened only if there is no tokenizer in the
    folder, since whole models have one. Unreadable files count as no EAGLE drafter: other checks report them.
    """
    config = read_json(folder / CONFIG)
    if isinstance(config, Mapping):
        said = f"{config.get('architectures')} {config.get('speculators_model_type')}".lower()
        if "eagle" in said:
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
