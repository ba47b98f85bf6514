"""Tiny pairs with a hybrid target, and their bundles: what the command exports, converted in this process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgedraft
from edgedraft.exporter.equality.deviation import Deviation
from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.exporter.graph.worker_pack import pack_folder
from edgedraft.exporter.models import convert, float_graph
from edgedraft.exporter.models.processes import ProcessCost
from edgedraft.exporter.models.worker_build import build
from tests.conftest import WORDS, save_tokenizer
from tests.exporter.families import quiet
from tests.exporter.forms import FORMS, save_form

NOISE = 0.05
"""What moves a drafter away from its target, as a share of each weight's spread: about a third of drafts are kept."""


@dataclass(frozen=True, kw_only=True)
class HybridPair:
    """A target in transformers and the folder it is saved in, beside a drafter's."""

    source: Any
    target: Path
    drafter: Path


@dataclass(frozen=True, kw_only=True)
class Hybrids:
    """Makes each pair and each bundle once; ``plain`` is the folder of a drafter without recurrent layers."""

    root: Path
    cache: Path
    plain: Path
    made: dict[object, Any] = field(default_factory=dict)

    def pair(self, family: str) -> HybridPair:
        """Return a target of ``family`` and a drafter of the same family that agrees with it now and then."""
        if family not in self.made:
            self.made[family] = _save_pair(family, self.root)
        pair: HybridPair = self.made[family]
        return pair

    def bundle(self, family: str, *, plain: bool = False, precision: str = "fp32") -> Path:
        """Return the bundle that `edgedraft.export` writes for a device that is not here, so that nothing is timed."""
        key = (family, plain, precision)
        if key not in self.made:
            self.made[key] = self._export("-".join([family, "plain" * plain, precision]), family, plain, precision)
        path: Path = self.made[key]
        return path

    def _export(self, name: str, family: str, plain: bool, precision: str) -> Path:
        pair = self.pair(family)
        request = edgedraft.ExportRequest(
            target=str(pair.target),
            drafter=str(self.plain if plain else pair.drafter),
            target_precisions=(precision,),
            drafter_precisions=(precision,),
            prompts=str(self.prompts()),
            max_new_tokens=16,
            context_length=256,
            vocab_size=512,
            threads=(2,),
            device="rpi5",
            cache=str(self.cache),
            output=str(self.root / name.replace(" ", "-")),
        )
        with pytest.MonkeyPatch.context() as patch, quiet():
            work_here(patch)
            return edgedraft.export(request).path

    def prompts(self) -> Path:
        """Return a file of prompts that share words with the tokenizer."""
        file, rng = self.root / "prompts.jsonl", np.random.default_rng(3)
        lines = [f'{{"prompt": "{" ".join(rng.choice(WORDS, 6))}"}}' for _ in range(12)]
        file.write_text("\n".join(lines), encoding="utf-8")
        return file


def work_here(patch: pytest.MonkeyPatch) -> None:
    """Convert in this process, which has loaded torch: a child process of its own takes ten seconds for that."""

    def run_here(what: str, arguments: Sequence[str], log: Path) -> ProcessCost:
        _, module, source, output, *more = arguments
        if module.endswith("worker_build"):
            build(Path(source), Path(output))
        else:
            pack_folder(Path(source), Path(output), *more)
        return ProcessCost(what=what, seconds=0.0, peak_bytes=0)

    compared = EqualityResult(
        family="compared in other tests", weights=Deviation(share=0.0, position=0, what="", tokens=1)
    )
    patch.setattr(convert, "run_python", run_here)
    patch.setattr(float_graph, "run_python", run_here)
    patch.setattr(float_graph, "finished_check", lambda file: compared)


def _save_pair(family: str, root: Path) -> HybridPair:
    import torch

    folders = {role: root / f"{family.replace(' ', '-')}-{role}" for role in ("target", "drafter")}
    models = {role: save_form(FORMS[family, "recurrent"], folder) for role, folder in folders.items()}
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in models["drafter"].parameters():
            if parameter.dim() > 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * parameter.std() * NOISE)
    models["drafter"].save_pretrained(folders["drafter"])
    for folder in folders.values():
        save_tokenizer(folder, WORDS)
    return HybridPair(source=models["target"], target=folders["target"], drafter=folders["drafter"])
