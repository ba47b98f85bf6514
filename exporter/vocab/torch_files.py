"""Torch files of plain data: lists, dicts and tensors are read and written, code is never run."""

import importlib.util
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.plain_files import require_plain_file
from edgedraft.runtime.base.replacing import replacing_file

_CODE = re.compile(r"GLOBAL ([\w.]+)|Unsupported (operand \d+)")


def read_torch(path: Path) -> Any:
    """Read what ``torch.save`` wrote, with one-row tensors of whole numbers or booleans as arrays.

    Other tensors become a text that says what they are: checkpoints of gigabytes are mapped, not read. Only torch's
    own loader of plain data runs; a file that names any class or function is refused before it is called.
    """
    loaded = _load(path)
    if isinstance(loaded, Mapping):
        return {name: _plain(value) for name, value in loaded.items()}
    return _plain(loaded)


def read_torch_weights(path: Path) -> dict[str, AnyArray]:
    """Read a file of named tensors, floats of any width as float32; no code is run, as in `read_torch`."""
    loaded = _load(path)
    import torch

    tensors = isinstance(loaded, Mapping) and all(isinstance(value, torch.Tensor) for value in loaded.values())
    if not tensors:
        raise EdgedraftError(f"{path}: expected a model's tensors by name", got=type(loaded).__name__)
    return {str(name): _numbers_of(value) for name, value in loaded.items()}


def write_torch(path: Path, value: Any, *, bfloat16: bool = False) -> None:
    """Write a list, or a dict of numbers and arrays (as tensors), or one array, atomically.

    With ``bfloat16``, arrays of floats are rounded to that type.
    """
    require_torch()
    import torch

    if isinstance(value, Mapping):
        value = {name: _tensor(each, bfloat16=bfloat16) for name, each in value.items()}
    content = io.BytesIO()  # torch's own writing tells nothing about a full disk, and keeps the file's name in the file
    torch.save(_tensor(value, bfloat16=bfloat16), content)
    with replacing_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _load(path: Path) -> Any:
    require_torch()
    require_plain_file(path)
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols that other tools chose
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise _refusal(path, str(error)) from error
    except Exception as error:  # torch raises errors of many classes on files that are not whole
        raise EdgedraftError(f"{path}: not a torch file that can be read", got=first_line(error)) from error


def _refusal(path: Path, reason: str) -> EdgedraftError:
    """Make an error of one line for a file that is more than data; the library's own text advises to run it."""
    code = _CODE.search(reason)
    if code is None:
        return EdgedraftError(f"{path}: not a torch file that can be read", got=reason.splitlines()[-1].strip())
    remedy = "nothing of it was run; ask its maker for tensors, lists or numbers"
    named = code[1] or f"pickle {code[2]}"
    return EdgedraftError(f"{path}: holds pickled code or objects, not only data", got=named, remedy=remedy)


def require_torch() -> None:
    """Raise `MissingExtraError` where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("torch", "export")


def _plain(value: object) -> object:
    """Return a tensor of one row of whole numbers as an array, any other tensor as a description."""
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    whole = not value.is_floating_point() and not value.is_complex() and value.layout == torch.strided
    if whole and value.dim() == 1 and not value.is_quantized:
        # A copy, because the file behind a mapped tensor may be replaced while the array lives.
        return value.detach().numpy().copy()
    return f"a tensor of {str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def _numbers_of(tensor: Any) -> AnyArray:
    """Return a tensor's numbers as an array of its own."""
    values = tensor.detach()
    array: AnyArray = (values.float() if values.is_floating_point() else values).contiguous().numpy().copy()
    return array


def _tensor(value: object, *, bfloat16: bool) -> object:
    import torch

    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.from_numpy(value.copy())
    return tensor.bfloat16() if bfloat16 and tensor.is_floating_point() else tensor
