"""Token-map files as other tools write them."""

import struct

import flatbuffers
import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from edgedraft.exporter.vocab.vocab_map import VocabMap

VOCAB = 40
IDS = (2, 3, 11, 12, 30, 39)  # no two readings fit: as offsets 39 + 5 is outside


def offsets(ids):
    return np.asarray(ids, np.int64) - np.arange(len(ids))


def mask(ids, size=VOCAB):
    kept = np.zeros(size, np.bool_)
    kept[list(ids)] = True
    return kept


def mnn_bytes(values, name="d2t"):
    """An MNN graph of one int32 constant: Net.oplists[0] = Op(main=Blob(int32s), name)."""
    builder = flatbuffers.Builder(0)
    numbers = builder.CreateNumpyVector(np.asarray(values, np.int32))
    builder.StartObject(10)
    builder.PrependUOffsetTRelativeSlot(5, numbers, 0)
    blob = builder.EndObject()
    text = builder.CreateString(name)
    builder.StartObject(7)
    builder.PrependUint8Slot(1, 7, 0)
    builder.PrependUOffsetTRelativeSlot(2, blob, 0)
    builder.PrependUOffsetTRelativeSlot(3, text, 0)
    op = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(op)
    ops = builder.EndVector()
    builder.StartObject(12)
    builder.PrependUOffsetTRelativeSlot(3, ops, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def openvino_files(path, values, code="q"):
    """An IR of one constant after 16 other bytes."""
    body = struct.pack(f"<{len(values)}{code}", *values)
    kind = {"q": "i64", "i": "i32"}[code]
    data = f'<data element_type="{kind}" shape="{len(values)}" offset="16" size="{len(body)}"/>'
    layers = f'<layer id="0" name="self.d2t" type="Const" version="opset1">{data}</layer>'
    path.write_text(f'<?xml version="1.0"?><net name="drafter" version="11"><layers>{layers}</layers></net>')
    path.with_suffix(".bin").write_bytes(b"\0" * 16 + body)


def gguf_file(path, values, tokens=VOCAB):
    writer = gguf.GGUFWriter(path, "eagle3")
    if tokens:
        writer.add_token_list([f"t{i}" for i in range(tokens)])
    writer.add_tensor("d2t", np.asarray(values, np.int64))
    writer.add_tensor("output.weight", np.zeros((4, 32), np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()


@pytest.fixture
def wild(tmp_path):
    """Writes the map ``IDS`` as another tool would; returns the file."""
    d2t, t2d = torch.from_numpy(offsets(IDS)), torch.from_numpy(mask(IDS))
    weight = torch.zeros(4, 4, dtype=torch.bfloat16)

    def write(name):
        path = tmp_path / name
        if name == "freq_6.pt":
            torch.save(list(IDS), path)
        elif name == "model.safetensors":
            from safetensors.torch import save_file as save_torch

            save_torch({"lm_head.weight": weight, "d2t": d2t, "t2d": t2d}, path)
        elif name == "pytorch_model.bin":
            torch.save({"lm_head.weight": weight, "d2t": d2t, "t2d": t2d}, path)
        elif name == "cache.pt":
            torch.save({"d2t": d2t, "t2d": t2d}, path)
        elif name in ("d2t.npy", "d2t-6.npy"):
            np.save(path, offsets(IDS))
            np.save(path.with_name(name.replace("d2t", "t2d")), mask(IDS))
        elif name == "d2t.pt":
            torch.save(d2t, path)
        elif name == "drafter.gguf":
            gguf_file(path, IDS)
        elif name == "openvino_model.xml":
            openvino_files(path, offsets(IDS).tolist())
        elif name == "eagle_d2t.mnn":
            path.write_bytes(mnn_bytes(offsets(IDS)))
        elif name == "eagle_meta.pt":
            torch.save({"epoch": 2, "selected_token_ids": torch.tensor(IDS), "selected_token_mask": t2d}, path)
        elif name == "pruned.json":
            path.write_text("{" + ", ".join(f'"{row}": {each}' for row, each in enumerate(IDS)) + "}")
        elif name == "ids.txt":
            path.write_text("\n".join(map(str, IDS)))
        elif name == "ids.json":
            path.write_text(str(list(IDS)))
        elif name == "index_map.safetensors":
            save_file({"target_ids": np.array(IDS)}, path, {"target_vocab_size": str(VOCAB), "convention": "absolute"})
        return path

    return write


@pytest.fixture
def vocab_map():
    """Builds a map of ids; keywords change it."""

    def build(ids, **changes):
        facts = {"kind": "text", "convention": "absolute", "target_vocab_size": VOCAB}
        return VocabMap(target_ids=np.asarray(ids, np.int64), **facts | changes)

    return build
