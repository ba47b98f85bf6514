"""The laws in a real browser: on every provider the runtime says, token for token, what Python's says at fp32."""

import json

import pytest

from edgedraft.runtime.engine import DecodingOptions, Engine

pytestmark = pytest.mark.browser

PROMPTS = ("sort the list sort the list", "def index of value in dict")
NEW_TOKENS = 24
WAYS = ("none", "trimmed", "full", "ngram")

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
for (const drafts of WAYS) {
  answers[drafts] = [];
  for (const prompt of PROMPTS) {
    const ids = [];
    let accepted = 0;
    const promptIds = engine.encodeChat([{ role: "user", content: prompt }]);
    for await (const turn of engine.rounds(promptIds, { maxNewTokens: NEW_TOKENS, drafts, ...OPTIONS })) {
      ids.push(...turn.tokenIds);
      accepted += turn.accepted;
    }
    answers[drafts].push({ ids, accepted, text: engine.decode(ids) });
  }
}
const providers = engine.providers;
await engine.close();
return { providers, answers };
"""


def script(settings, options=None, ways=WAYS):
    text = ANSWERS
    values = {
        "SETTINGS": settings,
        "WAYS": ways,
        "PROMPTS": PROMPTS,
        "NEW_TOKENS": NEW_TOKENS,
        "OPTIONS": options or {},
    }
    for name, value in values.items():
        text = text.replace(name, json.dumps(value))
    return text


@pytest.fixture(scope="module")
def answers_in_python(tiny_bundle):
    engine = Engine.open(tiny_bundle, context_length=256)
    found = []
    for prompt in PROMPTS:
        prompt_ids = engine.codec.encode_chat([{"role": "user", "content": prompt}])
        rounds = engine.rounds(prompt_ids, engine.limits(NEW_TOKENS), DecodingOptions(speculate=False))
        ids = [token for turn in rounds for token in turn.token_ids]
        found.append((ids, engine.codec.decode(ids)))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {"targetProvider": "webgpu", "drafterProvider": "webgpu", "threads": 1},
        {"targetProvider": "webgpu", "drafterProvider": "webgpu", "threads": 1, "weak": True},
        {"targetProvider": "wasm", "drafterProvider": "wasm", "threads": 1},
        {"targetProvider": "wasm", "drafterProvider": "wasm", "threads": 2},
        {"targetProvider": "webgpu", "drafterProvider": "wasm", "threads": 2},
    ],
    ids=["webgpu", "weak webgpu", "wasm, 1 thread", "wasm, 2 threads", "webgpu target, wasm drafter"],
)
def test_every_way_of_drafting_says_what_python_says(settings, drive, serve, tiny_bundle, answers_in_python):
    with serve(tiny_bundle) as served:
        told = drive(served.root, [{"evaluate": script(settings), "as": "found"}])
        told.require_quiet(served.root)
    found = told.results["found"]
    assert found["providers"] == {"target": settings["targetProvider"], "drafter": settings["drafterProvider"]}
    for way in WAYS:
        assert [(each["ids"], each["text"]) for each in found["answers"][way]] == answers_in_python, way
    kept = {way: sum(each["accepted"] for each in found["answers"][way]) for way in WAYS}
    assert kept["none"] == 0
    assert kept["trimmed"] > 0
    assert kept["full"] > 0


def test_drawn_answers_repeat_with_their_seed_and_differ_with_another(drive, serve, tiny_bundle):
    settings = {"targetProvider": "wasm", "drafterProvider": "wasm", "threads": 1}
    steps = [
        {"evaluate": script(settings, {"sampling": {"temperature": 1.0, "seed": seed}}, ["trimmed"]), "as": name}
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    ]
    with serve(tiny_bundle) as served:
        told = drive(served.root, steps)
        told.require_quiet(served.root)
    one, again, other = (told.results[name]["answers"]["trimmed"] for name in ("one", "again", "other"))
    assert one == again
    assert one != other
