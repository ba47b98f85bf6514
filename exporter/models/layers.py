"""Drafters that are a layer on their target, EAGLE layers and multi-token-prediction heads: found and read alike."""

from pathlib import Path

from edgedraft.exporter.graph.eagle.checkpoint import EagleCheckpoint
from edgedraft.exporter.models.eagle.fitting import description
from edgedraft.exporter.models.eagle.reading import read_eagle
from edgedraft.exporter.models.eagle.telling import eagle_source, is_eagle
from edgedraft.exporter.models.mtp.reading import declared_mtp, read_mtp
from edgedraft.exporter.models.mtp.telling import CHOICE, HEAD_SOURCE, OWN, carries_head, head_source, is_head_alone
from edgedraft.exporter.models.sources import HUGGING_FACE, ModelSource
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent

_NOT_WHOLE = "give it as the drafter of the target that it was trained for"


def layer_source(reference: str, cache: Path, progress: Progress = silent) -> ModelSource | None:
    """Return the layer that ``reference`` names; None for any other model."""
    head = head_source(reference, cache, progress)
    return eagle_source(reference, cache, progress) if head is None else head


def is_layer(source: ModelSource) -> bool:
    """Return whether a resolved model is a layer on a target."""
    return source.kind == HEAD_SOURCE or (source.kind == HUGGING_FACE and is_eagle(source.path))


def read_layer(source: ModelSource) -> EagleCheckpoint:
    """Read the checkpoint of a layer."""
    return read_mtp(source.path, source.name) if source.kind == HEAD_SOURCE else read_eagle(source.path)


def declared_layer(source: ModelSource) -> EagleCheckpoint:
    """Return a layer as far as its files declare it; the weights of a head, beside its target's, stay unread."""
    return declared_mtp(source.path, source.name) if source.kind == HEAD_SOURCE else read_eagle(source.path)


def settled_drafter(target: str, drafter: str, cache: Path, progress: Progress = silent) -> str:
    """Return ``drafter``, but the target's own head for `OWN`, and where the target itself is named and carries one."""
    same = drafter == target and carries_head(target, cache, progress)
    return f"{target}{CHOICE}" if drafter == OWN or same else drafter


def refuse_layers(folder: Path) -> None:
    """Refuse the folder of a layer where a whole model is needed; the error says what was found."""
    if is_eagle(folder):
        found = description(read_eagle(folder))
    elif is_head_alone(folder):
        found = description(declared_mtp(folder, folder.resolve().name))
    else:
        return
    raise EdgedraftError(f"{folder}: expected a model that decodes by itself", got=found, remedy=_NOT_WHOLE)
