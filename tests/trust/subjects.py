"""What the trials use: a pair of tiny ONNX models, made within a second, and outputs compared byte for byte."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.random import Generator

TEXT = "def return for in range print list dict value index node left right sort merge the of a to"
WORDS = TEXT.split()
WHEEL_MEMBER = "tiny_part{part}/data/part{part:02d}.bin"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_HIDDEN, _CONTEXT = 16, 256


def make_pair(folder: Path, seed: int = 0) -> None:
    """Write ``folder``/target and ``folder``/drafter, which often agree, and ``folder``/prompts.jsonl."""
    rng = np.random.default_rng(seed)
    for role, noise in (("target", 0.0), ("drafter", 0.3)):
        width, eos = _save_tokenizer(folder / role)
        if role == "target":
            weights = [rng.normal(size=(width, _HIDDEN)), rng.normal(size=(_HIDDEN, width))]
        _save_model(folder / role, [_moved(each, noise, rng) for each in weights], eos)
    prompts = [" ".join(WORDS[(step * i + step) % len(WORDS)] for step in (1, 3, 7)) for i in range(4)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts))


def make_counts_data(path: Path) -> None:
    """Write conversations to count."""
    turn = '{"messages": [{"role": "user", "content": "sort"}, {"role": "assistant", "content": "merge the list"}]}\n'
    path.write_text(turn * 40)


def make_wheels(folder: Path) -> None:
    """Write two wheels that hold the halves of a packaged model of a few bytes."""
    folder.mkdir()
    for part in (1, 2):
        with zipfile.ZipFile(folder / f"tiny_part{part}-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr(zipfile.ZipInfo(WHEEL_MEMBER.format(part=part)), bytes([part]) * 5000)


def export_arguments(pair: Path, cache: Path, output: Path, size: int = 128) -> list[str]:
    """Return the command line of an export; two such exports at the same clock time write equal bytes."""
    models = ["--target", str(pair / "target"), "--drafter", str(pair / "drafter")]
    inputs = ["--prompts", str(pair / "prompts.jsonl"), "--max-new-tokens", "8", "--cache", str(cache)]
    plan = ["--threads", "2", "--vocab-size", str(size), "--draft-length", "2"]
    return ["export", str(output), *models, *inputs, *plan]


def tree(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below ``folder``, by name; for a file, its own under the empty name."""
    if folder.is_file():
        return {"": hashlib.sha256(folder.read_bytes()).hexdigest()}
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _moved(weight: np.ndarray, noise: float, rng: Generator) -> np.ndarray:
    return (weight + noise * rng.normal(size=weight.shape)).astype(np.float32)


def _save_tokenizer(folder: Path) -> tuple[int, int]:
    """Save a byte-level tokenizer; return its size and the id that ends a turn."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    folder.mkdir(parents=True)
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator([TEXT] * 4, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    made.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in SPECIAL])
    made.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    eos = made.token_to_id(SPECIAL[2])
    assert eos is not None
    return made.get_vocab_size(), eos


def _save_model(folder: Path, weights: list[np.ndarray], eos: int) -> None:
    """Save a model whose next token depends only on the last one, with a cache that passes through unchanged."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    names = ("embedding", "head.weight")
    constants = [numpy_helper.from_array(weight, name) for weight, name in zip(weights, names, strict=True)]
    value, width = helper.make_tensor_value_info, weights[0].shape[0]
    ids = [
        value(name, TensorProto.INT64, ["batch", axis])
        for name, axis in (("input_ids", "sequence"), ("attention_mask", "total"))
    ]
    parts, shape = ("key", "value"), ["batch", 1, "context", 1]
    pasts = [value(f"past_key_values.0.{part}", TensorProto.FLOAT, shape) for part in parts]
    presents = [value(f"present.0.{part}", TensorProto.FLOAT, shape) for part in parts]
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["states"], axis=0),
        helper.make_node("MatMul", ["states", "head.weight"], ["logits"], name="head"),
        *(helper.make_node("Identity", [f"past_key_values.0.{part}"], [f"present.0.{part}"]) for part in parts),
    ]
    logits = value("logits", TensorProto.FLOAT, ["batch", "sequence", width])
    graph = helper.make_graph(nodes, "chain", [*ids, *pasts], [logits, *presents], constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")
    config = {"model_type": "llama", "vocab_size": width, "hidden_size": _HIDDEN, "num_attention_heads": 1}
    config |= {"max_position_embeddings": _CONTEXT, "eos_token_id": eos}
    (folder / "config.json").write_text(json.dumps(config))
