"""What browser tests have answered: the same prompts, by Python without drafts, and by the page in every way."""

import json
from collections.abc import Iterator

from edgedraft.runtime.engine import DecodingOptions, Engine

PROMPTS = ("sort the list sort the list", "def index of value in dict")
NEW_TOKENS = 24
WAYS = ("none", "trimmed", "full", "ngram")
POLICIES = {
    "none": {"policy": "plain"},
    "trimmed": {"policy": "fixed"},
    "full": {"policy": "fixed", "drafter": "full"},
    "ngram": {"policy": "ngram"},
}

ANSWERS = """
const { Engine } = window.edgedraft;
const settings = SETTINGS;
if (settings.weak) {
  const adapter = await navigator.gpu.requestAdapter();
  settings.device = await adapter.requestDevice();
}
const here = new URL("./", location.href);
const engine = await Engine.open(here, { contextLength: 256, withFull: true, ...settings }, () => {});
const answers = {};
for (const way of WAYS) {
  answers[way] = [];
  for (const prompt of PROMPTS) {
    const ids = [], logProbs = [];
    let accepted = 0;
    const promptIds = engine.encodeChat([{ role: "user", content: prompt }]);
    for await (const round of engine.rounds(promptIds, { maxNewTokens: NEW_TOKENS, ...POLICIES[way], ...OPTIONS })) {
      ids.push(...round.tokenIds);
      logProbs.push(...(round.logProbs ?? []));
      accepted += round.accepted;
    }
    answers[way].push({ ids, logProbs, accepted, text: engine.decode(ids) });
  }
}
const providers = engine.providers;
await engine.close();
return { providers, answers };
"""


def python_answers(engine: Engine, prompts=PROMPTS) -> Iterator[tuple[list[int], tuple[list[int], str]]]:
    """Of every prompt its tokens, and the greedy answer's tokens and text."""
    for prompt in prompts:
        prompt_ids = engine.codec.encode_chat([{"role": "user", "content": prompt}])
        rounds = engine.rounds(prompt_ids, engine.limits(NEW_TOKENS), DecodingOptions(speculate=False))
        ids = [token for round_ in rounds for token in round_.token_ids]
        yield prompt_ids, (ids, engine.codec.decode(ids))


def script(settings, options=None, ways=WAYS, prompts=PROMPTS):
    """The script that opens the engine, answers every prompt in every way, and returns what was said."""
    text = ANSWERS
    values = {
        "SETTINGS": settings,
        "WAYS": ways,
        "POLICIES": POLICIES,
        "PROMPTS": prompts,
        "NEW_TOKENS": NEW_TOKENS,
        "OPTIONS": options or {},
    }
    for name, value in values.items():
        text = text.replace(name, json.dumps(value))
    return text
