"""A folder in which the documentation's commands run: the tiny pair stands in for the user's models."""

import json
import shutil
from pathlib import Path

import pytest

PROMPTS = [{"prompt": f"def sort the {word} of a list"} for word in ("left", "right", "index", "value", "key", "node")]


@pytest.fixture
def documented_folder(tiny_pair, tiny_bundle, tmp_path, monkeypatch) -> Path:
    shutil.copytree(tiny_pair.target, tmp_path / "my-target")
    shutil.copytree(tiny_pair.drafter, tmp_path / "my-drafter")
    for name in ("quickstart-bundle", "my-bundle"):
        shutil.copytree(tiny_bundle, tmp_path / name)
    lines = [json.dumps(prompt) for prompt in PROMPTS * 4]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    chat = {"messages": [{"role": "user", "content": "sort the list"}, {"role": "assistant", "content": "def sort"}]}
    (tmp_path / "chats.jsonl").write_text("\n".join([json.dumps(chat)] * 20) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEDRAFT_CACHE", str(tiny_pair.cache))
    return tmp_path
