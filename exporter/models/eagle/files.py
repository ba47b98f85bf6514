"""Read the tensors of an EAGLE checkpoint from safetensors or torch files, by their names in the layer."""

import re
from pathlib import Path

from edgedraft.exporter.vocab.torch_files import read_torch_weights
from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tensors import read_weights

_PREFIX = re.compile(r"(?:model\.)?(?:midlayer\.|layers\.0\.)?")
_OF_TRAINING = re.compile(r".*rotary_emb\..*|verifier_.*|.*target_(?:norm|lm_head).*|.*\.dummy")


def read_layer_tensors(folder: Path) -> dict[str, AnyArray]:
    """Return the tensors in ``folder``, floats as float32, without those that only training needs.

    The name of the module that holds the layer is removed: trainers call it ``midlayer`` or ``layers.0``.
    """
    files = sorted(folder.glob("*.safetensors"))
    pickled = sorted(folder.glob("*.bin"))
    remedy = "give the drafter's folder, with config.json and weights"
    require(bool(files or pickled), f"{folder}: neither .safetensors nor .bin", remedy=remedy)
    tensors: dict[str, AnyArray] = {}
    for path in files or pickled:
        tensors |= read_weights(path) if files else read_torch_weights(path)
    return {_PREFIX.sub("", name, 1): array for name, array in tensors.items() if not _OF_TRAINING.fullmatch(name)}
