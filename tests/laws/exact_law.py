"""The chances of whole texts under a target alone, and how well counts of texts agree with them."""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from edgedraft.runtime.core.sampling import SamplingSettings

Text = tuple[int, ...]
Law = dict[Text, float]


@dataclass(kw_only=True, slots=True)
class Found:
    """What a crowd came to: answers and chances by text, and how many drafts were proposed and kept."""

    counts: dict[Text, int] = field(default_factory=dict)
    chances: Law = field(default_factory=dict)
    proposed: int = 0
    accepted: int = 0


def distribution(row, settings: SamplingSettings, context) -> np.ndarray:
    """What transformers' own processors make of one row of logits, in float64."""
    import torch
    from transformers import generation

    steps = [
        generation.RepetitionPenaltyLogitsProcessor(settings.repetition_penalty),
        generation.TemperatureLogitsWarper(settings.temperature),
        generation.TopKLogitsWarper(settings.top_k or len(row)),
        generation.TopPLogitsWarper(settings.top_p),
        generation.MinPLogitsWarper(settings.min_p),
    ]
    scores = torch.from_numpy(row)[None].double()
    for step in steps:
        scores = step(torch.tensor([context]), scores)
    return torch.softmax(scores, -1)[0].numpy()


def exact_law(target, settings: SamplingSettings, prompt, length: int, least: float = 0.0) -> Law:
    """The chance of every text of ``length`` tokens under the target alone, those below ``least`` left out."""
    law: Law = {(): 1.0}
    for _ in range(length):
        longer: Law = {}
        for text, chance in law.items():
            context = (*prompt, *text)
            chances = chance * distribution(target.row(context), settings, context)
            longer |= {(*text, int(token)): float(chances[token]) for token in np.flatnonzero(chances > least)}
        law = longer
    return law


def p_value(counts: dict[Text, int], law: Law) -> float:
    """Chi-square; texts of less than five expected answers, and those left out of ``law``, are one cell."""
    answers = sum(counts.values())
    listed = [text for text, chance in law.items() if chance * answers >= 5]
    found, expected = np.array([[counts.get(text, 0), law[text] * answers] for text in listed]).T
    found, expected = (np.append(cells, answers - cells.sum()) for cells in (found, expected))
    possible = expected > 1e-6
    if found[~possible].any():
        return 0.0
    return float(stats.chisquare(found[possible], expected[possible] * (answers / expected[possible].sum())).pvalue)
