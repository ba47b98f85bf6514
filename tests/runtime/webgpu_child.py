"""What tests of the WebGPU provider run in a process of its own: a job as JSON on standard input, JSON back.

A driver or a plugin that crashes ends this process alone, and its environment chooses the device.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.provider_names import WEBGPU
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.padding import Padded
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.onnx.providers import available_providers
from edgedraft.runtime.onnx.session import OnnxGraph, PlainGraph, SessionSettings, open_model

SETTINGS = SessionSettings(threads=2, context_length=256, provider=WEBGPU)
FIXED = DecodingOptions(policy="fixed", draft_length=2)
SAMPLED = DecodingOptions(policy="fixed", draft_length=2, sampling=SamplingSettings(temperature=0.8), seed=5)


def told(rounds):
    """Token ids of an answer, how many drafts it was offered, and how many it kept."""
    rounds = list(rounds)
    return {
        "ids": [token for round_ in rounds for token in round_.token_ids],
        "proposed": sum(round_.drafted for round_ in rounds),
        "accepted": sum(round_.accepted for round_ in rounds),
    }


def opening(job):
    """Why the graph cannot be opened for a context of ``context`` tokens, if it cannot."""
    settings = replace(SETTINGS, context_length=job["context"])
    try:
        OnnxGraph(Path(job["graph"]), settings).new_model()
    except EdgedraftError as error:
        return {"listed": WEBGPU in available_providers(), "error": str(error)}
    return {"listed": WEBGPU in available_providers(), "error": None}


def plain_graph(job):
    """Why a graph of one input and one output cannot be opened, or what it makes of ones."""
    try:
        bound = PlainGraph(Path(job["graph"]), SETTINGS).bind(np.ones((3, job["width"]), dtype=job["dtype"]))
    except EdgedraftError as error:
        return {"error": str(error)}
    bound.run()
    return {"error": None, "output": bound.output().tolist()}


def decoding(job):
    """Answers by a bundle on the device: alone, with its drafter there and on the CPU, drawn, and by the full drafter.

    And what its target's memories say, see `_remembering`; in one process, where a kernel is compiled once.
    """
    limits, first = Limits(max_new_tokens=job["tokens"]), job["prompts"][0]
    engine = Engine.open(Path(job["bundle"]), context_length=256, target_provider=WEBGPU, drafter_provider=WEBGPU)
    mixed = Engine.open(Path(job["bundle"]), context_length=256, target_provider=WEBGPU)
    full = Padded(open_model(Path(job["drafter"]), SETTINGS), (), WEBGPU)
    found = {
        "plain": [told(engine.rounds(prompt, limits, DecodingOptions(policy="plain"))) for prompt in job["prompts"]],
        "trimmed": [told(engine.rounds(prompt, limits, FIXED)) for prompt in job["prompts"]],
        "mixed": [told(mixed.rounds(first, limits, FIXED))],
        "sampled": [told(engine.rounds(first, limits, SAMPLED))],
    }
    size = engine.bundle.manifest.target_vocab_size
    source = ModelTokenSource(full, IndexMap(target_ids=np.arange(size), target_vocab_size=size))
    drafter = TokenDrafter(source, FixedLength(2))
    with engine.slots.taken() as slot:
        found["full"] = [
            told(limited(speculative_rounds(slot.target, drafter, prompt), limits)) for prompt in job["prompts"]
        ]
    return found | {"memory": _remembering(OnnxGraph(engine.bundle.target_graph, SETTINGS), job["prompts"])}


def _remembering(graph, prompts):
    """Logits of a text that was rewound and gone on from, and those of a batch of two, one step each."""
    text, other = prompts
    rewound = graph.new_model()
    rewound.read(text)
    rewound.read(other)
    rewound.rewind(len(text) - 4)
    again = rewound.read(text[-4:]).logits.tolist()
    batch = graph.batch(2)
    for row, prompt in zip(batch.rows, prompts, strict=True):
        row.read(prompt[:-1])
    return {
        "provider": graph.session.get_providers()[0],
        "length": rewound.length,
        "rewound": again,
        "stepped": batch.step([text[-1], other[-1]]).tolist(),
    }


JOBS = {each.__name__: each for each in (opening, plain_graph, decoding)}

if __name__ == "__main__":
    job = json.load(sys.stdin)
    print(json.dumps(JOBS[job["what"]](job)))
