"""Child process in Optimum's own environment: its ONNX Runtime model class generates with a graph of a bundle.

Usage: python optimum_generate.py FOLDER SUBFOLDER GRAPH PROMPT_IDS NEW_TOKENS, the ids as a JSON list

Only Optimum and what it pins are installed there. The last line of the output is JSON.
"""

import json
import sys
from importlib.metadata import version

import torch
from optimum.onnxruntime import ORTModelForCausalLM


def main() -> None:
    folder, subfolder, graph, prompt, count = sys.argv[1:]
    model = ORTModelForCausalLM.from_pretrained(folder, subfolder=subfolder, file_name=graph)
    ids = torch.tensor([json.loads(prompt)])
    said = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=int(count), do_sample=False
    )
    versions = {name: version(name) for name in ("optimum-onnx", "transformers", "onnxruntime")}
    answer = said[0, ids.shape[1] :].tolist()
    print(json.dumps({"tokens": answer, "versions": versions, "model": type(model).__name__}))


if __name__ == "__main__":
    main()
