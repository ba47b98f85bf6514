"""A drafter's graphs, run as a runtime does: a prompt with the target's features, then drafts with its own states."""

from typing import Protocol

import numpy as np
import torch

from edgedraft.exporter.graph.eagle.assembling import EagleGraphs
from tests.plain_eagle import HEAD_SIZE, KV_HEADS

CONTEXT = 64


class Drafting(Protocol):
    """Graphs, or a layer in plain torch."""

    def fuse(self, features: np.ndarray) -> np.ndarray: ...
    def read(self, ids: list[int], states: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class Drafter:
    """A drafter's graphs, run with past and present in one buffer."""

    def __init__(self, graphs, made: EagleGraphs) -> None:
        self.step = graphs.session(made.step)
        self.fusing = None if made.fusing is None else graphs.session(made.fusing)
        self.past = [np.zeros((1, KV_HEADS, CONTEXT, HEAD_SIZE), np.float32) for _ in range(2)]
        self.length = 0

    def fuse(self, features: np.ndarray) -> np.ndarray:
        return features if self.fusing is None else self.fusing.run(None, {"features": features[None]})[0][0]

    def read(self, ids: list[int], states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.length += len(ids)
        fed = {
            "input_ids": np.array([ids]),
            "hidden_states": states[None],
            "attention_mask": np.ones((1, self.length), np.int64),
            "past_key_values.0.key": self.past[0],
            "past_key_values.0.value": self.past[1],
        }
        names = ["logits", "next_hidden_states", "present.0.key", "present.0.value"]
        logits, after, *self.past = self.step.run(names, fed)
        return logits[0, -1], after[0]


def draft(drafter: Drafting, features: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    """Logits and states of a prompt read with the target's features, and of each draft after it with its own states."""
    with torch.no_grad():
        logits, states = drafter.read(ids[: len(features)].tolist(), drafter.fuse(features))
        told = [np.atleast_2d(logits)[-1], states]
        for token in ids[len(features) :]:
            logits, states = drafter.read([int(token)], states[-1:])
            told += [np.atleast_2d(logits)[-1], states]
    return told
