"""The tokens that end a turn: all that a model's files name, in the forms in which they name them."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, models

from edgedraft.exporter.models.end_tokens import end_token_ids, turn_end, with_ends
from edgedraft.runtime.base.errors import EdgedraftError

TOKENS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|eot|>", "<unk>", *"abcdefghijklmnopqrstuvwxyz :.\n")
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.fixture
def folder(tmp_path):
    """Write a model's small files."""
    tokenizer = Tokenizer(
        models.BPE(vocab={token: place for place, token in enumerate(TOKENS)}, merges=[], unk_token="<unk>")
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in TOKENS[:5]])

    def write(template=None, **files):
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        if template is not None:
            (tmp_path / "chat_template.jinja").write_text(template)
        return tmp_path

    return write


def test_every_file_adds_its_ends(folder):
    path = folder(
        template=CHATML,
        config={"eos_token_id": 1},
        generation_config={"eos_token_id": [1, 4]},
        tokenizer_config={"eos_token": {"content": "<|im_end|>"}},
        genai_config={"model": {"eos_token_id": 2}},
    )
    assert end_token_ids(path) == (1, 2, 3, 4)


def test_the_end_of_the_template_counts_though_nobody_else_names_it(folder):
    assert end_token_ids(folder(template=CHATML, config={"eos_token_id": 1})) == (1, 3)


def test_the_settings_of_a_models_text_part_count(folder):
    assert end_token_ids(folder(config={"text_config": {"eos_token_id": [4]}, "eos_token_id": None})) == (4,)


@pytest.mark.parametrize("nothing", [None, -1, []])
def test_a_file_that_names_none_adds_none(folder, nothing):
    assert end_token_ids(folder(config={"eos_token_id": nothing}, generation_config={"eos_token_id": 4})) == (4,)


@pytest.mark.parametrize("wrong", ["</s>", [1, "</s>"], 1.5, True])
def test_ends_that_are_no_ids_are_refused(folder, wrong):
    with pytest.raises(EdgedraftError, match=r"config\.json: eos_token_id: expected token ids, got "):
        end_token_ids(folder(config={"eos_token_id": wrong}))


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, 3),
        ("{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}<s>assistant: ", 1),
        ("{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %} <|eot|>{% endif %}\n{% endfor %}", 4),
        ("{% for m in messages %}{{ m.content }}\n\n{% endfor %}", None),
        ("{% for m in messages %}{{ m.content }}<s>{% endfor %}", None),
        ("{{ raise_exception('no') }}", None),
        ("<|eot|>{{ messages[0].content }}", None),
        (None, None),
    ],
)
def test_the_token_right_behind_an_answer(folder, template, end):
    assert turn_end(folder(template=template, tokenizer_config={"bos_token": "<s>"})) == end


def test_settings_state_one_id_or_several():
    assert with_ends({"model": {"type": "llama", "eos_token_id": 9}}, (7,)) == {
        "model": {"type": "llama", "eos_token_id": 7}
    }
    assert with_ends({"model": {}, "search": 1}, (7, 9)) == {"model": {"eos_token_id": [7, 9]}, "search": 1}
