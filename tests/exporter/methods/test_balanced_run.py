"""Method balanced from a data set: what is counted, which templates are taken, and what is left behind."""

import json
from collections import Counter

import huggingface_hub
import numpy as np
import pytest

from edgedraft.calibration.text.spans import Turn
from edgedraft.exporter.methods import balanced_counting
from edgedraft.exporter.methods.balanced import balance
from edgedraft.exporter.methods.balanced_counting import CountingLimits, count_dataset, cut_turn
from edgedraft.exporter.methods.balanced_run import FAMILIES, BalancedOptions, assumed_shape, family_of, run_balanced
from edgedraft.exporter.methods.flops import EagleShape
from edgedraft.exporter.models.tokenization import tokenizer_of
from edgedraft.runtime.base.errors import EdgedraftError

END = "<|im_end|>"
CHATML = """{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + (m.content or '') }}
{%- for call in m.tool_calls or [] %}{{- '<call>' + call.function.name + '</call>' }}{% endfor %}
{{- '<|im_end|>\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""
TEMPLATES = {
    "qwen": CHATML,
    "phi4": CHATML.replace("m.role + '\n'", "m.role + '<|im_sep|>'"),
    "llama3": "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>{{ m.content }}<|eot_id|>"
    "{% endfor %}",
    "llama4": "{% for m in messages %}<|header_start|>{{ m.role }}<|header_end|>{{ m.content }}<|eot|>{% endfor %}",
    "phi3": "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}",
    "gemma": "{% for m in messages %}<start_of_turn>{{ {'assistant': 'model'}[m.role] or m.role }}{{ m.content }}"
    "<end_of_turn>{% endfor %}",
    "deepseek": "{% for m in messages %}<｜{{ m.role | capitalize }}｜>{{ m.content }}{% endfor %}",
}
CONVERSATIONS = [
    [("user", "ask a"), ("assistant", "one two"), ("user", "more"), ("assistant", "three")],
    [("user", "look"), ("assistant", "wait"), ("tool", "found nothing"), ("assistant", "sorry two")],
    [("system", "be kind"), ("user", "ask"), ("assistant", "two")],
]


@pytest.fixture(scope="module")
def make_tokenizer(tmp_path_factory):
    """A folder of a byte-level tokenizer with a chat template, and no model."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    def make(template=CHATML, in_config=False):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.train_from_iterator(["ask one two three more sorry wait"], trainer)
        tokenizer.add_special_tokens(["<|im_start|>", END])
        folder = tmp_path_factory.mktemp("tokenizer")
        tokenizer.save(str(folder / "tokenizer.json"))
        config = {"eos_token": {"content": END}} | ({"chat_template": template} if in_config else {})
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        if template is not None and not in_config:
            (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="module")
def tokens(make_tokenizer, tmp_path_factory):
    return tokenizer_of(str(make_tokenizer()), tmp_path_factory.mktemp("cache"))


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "data.jsonl"
    rows = [{"conversations": [{"role": r, "content": c} for r, c in turns]} for turns in CONVERSATIONS]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def said(conversations=CONVERSATIONS):
    return [f"{content}{END}" for turns in conversations for role, content in turns if role == "assistant"]


def counted(tally) -> Counter[int]:
    counts = tally.counts.counts
    return Counter({int(place): int(counts[place]) for place in np.flatnonzero(counts)})


def ids_of(tokens, texts) -> Counter[int]:
    return Counter(token_id for text in texts for token_id in tokens.codec.encode(text))


# --- what is counted -------------------------------------------------------------------------------------------------


def test_every_turn_counts_with_its_end_and_tool_turns_stay(tokens, dataset):
    tally = count_dataset(dataset, tokens, CountingLimits())
    end = tokens.end_token_ids[0]
    assert counted(tally)[end] == 5
    assert counted(tally) == ids_of(tokens, said())
    assert tally.report.dropped_roles == {}


def test_the_first_samples_are_taken(tokens, dataset):
    tally = count_dataset(dataset, tokens, CountingLimits(sample_size=2))
    assert counted(tally) == ids_of(tokens, said(CONVERSATIONS[:2]))
    assert tally.counts.prompts == 2


def test_lines_that_cannot_be_read_are_counted_beside_those_that_can(tokens, dataset, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text(dataset.read_text() + '\n{"conversations": [\n[1]\n')
    tally = count_dataset(path, tokens, CountingLimits())
    assert (tally.reading.read, tally.reading.broken) == (len(CONVERSATIONS) + 2, 2)
    assert counted(tally) == counted(count_dataset(dataset, tokens, CountingLimits()))


def test_several_processes_count_the_same(tokens, dataset, monkeypatch):
    monkeypatch.setattr(balanced_counting, "WORTH_SPREADING_BYTES", 0)
    monkeypatch.setattr(balanced_counting, "usable_cores", lambda: 2)
    one, two = (count_dataset(dataset, tokens, CountingLimits(max_length=25), processes=each) for each in (1, 2))
    assert two.counts.by_group.tolist() == one.counts.by_group.tolist()
    assert (two.report, two.reading) == (one.report, one.reading)


@pytest.mark.parametrize("max_length", [1, 5, 12, 20, 25, 31, 40, 60, 200])
def test_tokens_behind_the_first_ones_of_a_sample_do_not_count(tokens, dataset, max_length):
    wanted: Counter[int] = Counter()
    for turns in CONVERSATIONS:
        messages = [{"role": role, "content": content} for role, content in turns]
        for number, message in enumerate(messages):
            until = tokens.codec.encode(tokens.codec.render_chat(messages[: number + 1], answer=False))
            if message["role"] == "assistant":
                start = len(tokens.codec.encode(tokens.codec.render_chat(messages[:number])))
                wanted.update(until[start : min(len(until) - 1, max_length)])  # without the line end behind the end
    limits = CountingLimits(max_length=max_length)
    if wanted:
        assert counted(count_dataset(dataset, tokens, limits)) == wanted
        return
    with pytest.raises(EdgedraftError, match=r"data\.jsonl: expected an assistant's token to count, got none$"):
        count_dataset(dataset, tokens, limits)


def test_formatted_texts_count_the_answers_that_they_show(tokens, dataset, tmp_path):
    rows = []
    for turns in CONVERSATIONS:
        messages = [{"role": role, "content": content} for role, content in turns]
        rows.append(json.dumps({"text": tokens.codec.render_chat(messages, answer=False)}))
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(rows))
    by_text = count_dataset(path, tokens, CountingLimits(is_preformatted=True))
    assert counted(by_text) == counted(count_dataset(dataset, tokens, CountingLimits()))


def test_the_last_answer_of_a_formatted_text_may_be_cut_off_but_no_other(tokens, tmp_path):
    opening = "<|im_start|>assistant\n"
    texts = [f"{opening}one{END}\n<|im_start|>user\nask{END}\n{opening}two", f"{opening}one {opening}two{END}"]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    tally = count_dataset(path, tokens, CountingLimits(is_preformatted=True))
    assert counted(tally) == ids_of(tokens, [f"one{END}", "two"])
    assert [problem.reason for problem in tally.report.problems] == [
        "an answer in the text does not end, got 'one <|im_start|>assistant\\n'"
    ]


@pytest.mark.parametrize(
    ("row", "preformatted", "reason"),
    [
        (
            {"text": "plain"},
            False,
            "expected a conversation, got a text - is-preformatted finds the turns in texts",
        ),
        (
            {"conversations": [{"role": "user", "content": "ask"}]},
            True,
            "expected a text that is formatted already, got a conversation - leave is-preformatted out",
        ),
    ],
)
def test_samples_of_the_other_kind_are_not_counted_silently(tokens, tmp_path, row, preformatted, reason):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(EdgedraftError) as raised:
        count_dataset(path, tokens, CountingLimits(is_preformatted=preformatted))
    assert str(raised.value) == f"{path}: expected an assistant's token to count, got {reason}"


def test_a_turn_is_cut_at_a_token(tokens):
    turn = Turn("three more", "ask ")
    ids = tokens.codec.encode("ask three more")
    for length in range(1, len(ids) + 2):
        kept = tokens.codec.decode(ids[:length]).removeprefix("ask ")
        cut = cut_turn(tokens.codec, turn, length).text
        assert cut == (kept if len(tokens.codec.decode(ids[:length])) > len("ask ") else "")


# --- templates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_known_by_what_their_templates_write(make_tokenizer, tmp_path, family):
    assert family_of(tokenizer_of(str(make_tokenizer(TEMPLATES[family])), tmp_path).codec) == family


def test_another_format_is_of_no_family(make_tokenizer, tmp_path):
    template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    assert family_of(tokenizer_of(str(make_tokenizer(template)), tmp_path).codec) is None


@pytest.mark.parametrize("listed", [False, True])
def test_a_template_among_the_tokenizers_settings_is_found(make_tokenizer, dataset, tokens, tmp_path, listed):
    template = [{"name": "tools", "template": "no"}, {"name": "default", "template": CHATML}] if listed else CHATML
    for _ in range(2):
        found = tokenizer_of(str(make_tokenizer(template, in_config=True)), tmp_path / "cache")
        assert counted(count_dataset(dataset, found, CountingLimits())) == counted(
            count_dataset(dataset, tokens, CountingLimits())
        )


def test_a_models_configuration_tells_ends_and_size(make_tokenizer, tmp_path):
    folder = make_tokenizer()
    plain = tokenizer_of(str(folder), tmp_path)
    assert plain.vocab_size == plain.codec.tokenizer.get_vocab_size()
    assert plain.end_token_ids == (plain.codec.tokenizer.token_to_id(END),)
    (folder / "config.json").write_text(json.dumps({"text_config": {"vocab_size": 512, "eos_token_id": [9, 5]}}))
    found = tokenizer_of(str(folder), tmp_path)
    assert (found.vocab_size, found.end_token_ids) == (512, (5, 9, *plain.end_token_ids))


def test_a_tokenizer_that_does_not_tell_its_end_is_refused(make_tokenizer, tmp_path):
    folder = make_tokenizer()
    (folder / "tokenizer_config.json").write_text("{}")
    assert tokenizer_of(str(folder), tmp_path).end_token_ids, "the chat template shows it"
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(EdgedraftError) as raised:
        tokenizer_of(str(folder), tmp_path)
    assert str(raised.value) == (
        f"{folder}: no token that ends an answer in generation_config.json, config.json or tokenizer_config.json"
        " - give the model's own folder"
    )


# --- the whole run ---------------------------------------------------------------------------------------------------


@pytest.fixture
def options(make_tokenizer, dataset, tmp_path):
    """Builds options for the data set; keyword arguments change them."""

    def make(template=CHATML, **changes):
        told = {
            "dataset_path": str(dataset),
            "tokenizer_path": str(make_tokenizer(template)),
            "min_vocab_size": 2,
            "n_calls": 5,
            "output_dir": tmp_path / "output",
        }
        return BalancedOptions(**told | changes)

    return make


def test_the_defaults_are_the_reference_tools():
    told = BalancedOptions(dataset_path="data", tokenizer_path="folder")
    assert (told.coverage_weight, told.min_coverage, told.min_vocab_size, told.max_vocab_size) == (0.5, 0.0, 50, 50000)
    assert (told.n_calls, told.sample_size, told.max_length, told.random_state) == (30, None, 131072, 42)
    assert (told.is_preformatted, told.chat_template, told.config_path) == (False, None, None)
    assert told.num_proc == 8


def test_a_run_chooses_reports_and_rewrites_the_configuration(options, tokens, dataset, tmp_path):
    config = tmp_path / "config.json"
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    config.write_text(json.dumps({**sizes, "vocab_size": 400, "draft_vocab_size": 320}, indent=2))
    told = options(config_path=config, chat_template="qwen")
    found = run_balanced(told, tmp_path / "cache")
    counts = count_dataset(dataset, tokens, CountingLimits()).counts.counts
    assert found.tally.counts.counts.tolist() == [*counts, *[0] * (400 - len(counts))]
    assert (found.shape.hidden, found.shape.target_vocab_size, found.shape_assumed) == (64, 400, False)
    assert found.result == balance(found.tally.counts, found.shape.cost, told.settings)
    assert found.previous_size == 320
    assert json.loads(config.read_text())["draft_vocab_size"] == found.result.chosen.size
    summary = json.loads((tmp_path / "output" / "summary.json").read_text())
    assert summary["optimal_draft_vocab_size"] == found.result.chosen.size
    assert all(path.is_file() for path in found.files)


def test_sizes_that_a_configuration_lacks_are_the_papers_and_named(options, tokens, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"hidden_size": 64, "num_attention_heads": 4}))
    found = run_balanced(options(config_path=config), tmp_path / "cache")
    assert found.missing == ("intermediate_size", "num_key_value_heads")
    expected = {"hidden": 64, "intermediate": 14336, "heads": 4, "kv_heads": 8, "target_vocab_size": tokens.vocab_size}
    assert found.shape == EagleShape(**expected)
    assert json.loads(config.read_text())["draft_vocab_size"] == found.result.chosen.size


def test_without_a_configuration_the_papers_drafter_is_assumed_and_said_to_be(options, tmp_path):
    found = run_balanced(options(target_vocab_size=1000), tmp_path / "cache")
    assert (found.shape, found.shape_assumed, found.previous_size) == (assumed_shape(1000), True, None)
    assert assumed_shape(128256).flops(128256).total == 1_637_875_712


@pytest.mark.parametrize(
    ("template", "family", "error"),
    [
        (CHATML, "llama3", "chat-template: expected the family of the tokenizer's own, qwen, got llama3"),
        ("{{ messages[0].content }}", "gemma", "chat-template: expected the family of the tokenizer's own, "
         "none of the known ones, got gemma"),
    ],
)  # fmt: skip
def test_a_family_that_is_not_the_tokenizers_is_refused(options, tmp_path, template, family, error):
    told = options(template, chat_template=family)
    with pytest.raises(EdgedraftError) as raised:
        run_balanced(told, tmp_path / "cache")
    remedy = "leave chat-template out: the tokenizer's own template is used"
    assert str(raised.value) == f"{told.tokenizer_path}: {error} - {remedy}"


def test_a_tokenizer_without_a_template_is_refused(options, tmp_path):
    told = options(None)
    with pytest.raises(EdgedraftError) as raised:
        run_balanced(told, tmp_path / "cache")
    assert str(raised.value) == (
        f"{told.tokenizer_path}: expected a tokenizer with a chat template, got none"
        " - give the folder of the instruction-tuned model"
    )


def test_nothing_is_left_where_no_size_covers_enough(options, tmp_path):
    told = options(min_coverage=1.0, max_vocab_size=3)
    with pytest.raises(EdgedraftError, match=r"^min-coverage: no draft vocabulary of at most 3 tokens covers 100\.00%"):
        run_balanced(told, tmp_path / "cache")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"chat_template": "lama3"},
            "chat-template: expected one of llama3, llama4, qwen, deepseek, phi3, phi4, gemma, got lama3",
        ),
        ({"n_calls": 0}, "n-calls: expected 1 or more, got 0"),
        ({"random_state": -1}, "random-state: expected 0 or more, got -1"),
        ({"target_vocab_size": 0}, "target-vocab-size: expected 1 or more, got 0"),
        ({"sample_size": 0}, "sample-size: expected 1 or more, got 0"),
        ({"max_length": 0}, "max-length: expected 1 or more, got 0"),
        ({"coverage_weight": 2.0}, "coverage-weight: expected 0..1, got 2.0"),
    ],
)
def test_impossible_options_are_refused(changes, error):
    with pytest.raises(EdgedraftError) as raised:
        BalancedOptions(dataset_path="data", tokenizer_path="folder", **changes)
    assert str(raised.value) == error


# --- tokenizers on a hub ---------------------------------------------------------------------------------------------


def test_of_a_hub_repository_only_the_tokenizer_is_downloaded(make_tokenizer, tmp_path, monkeypatch):
    asked = {}

    def download(reference, **options):
        asked.update(options, reference=reference)
        return str(make_tokenizer())

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = tokenizer_of("org/model", tmp_path)
    assert found.codec.has_template
    assert (asked["reference"], asked["cache_dir"]) == ("org/model", tmp_path / "hub")
    assert not any(pattern.endswith(("safetensors", "bin", "*")) for pattern in asked["allow_patterns"])


def test_a_repository_that_the_hub_does_not_give_is_one_line(tmp_path, monkeypatch):
    def download(reference, **options):
        raise OSError("no route\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(EdgedraftError) as raised:
        tokenizer_of("org/model", tmp_path)
    remedy = "check the name and the network, or give a folder"
    assert str(raised.value) == f"org/model: the hub did not give it, got no route - {remedy}"


def test_a_repository_without_a_tokenizer_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda reference, **options: str(tmp_path))
    with pytest.raises(EdgedraftError) as raised:
        tokenizer_of("org/model", tmp_path)
    assert str(raised.value) == "org/model: no tokenizer.json in this repository - name the target's own"
