"""Keys and values on a device are bound once, past and present as one value; rewinding moves nothing."""

import numpy as np

from edgedraft.runtime.onnx.device_cache import DeviceCache
from edgedraft.runtime.onnx.signature import CacheInput

CACHES = [
    CacheInput(name=f"past.{layer}.{kind}", present=f"present.{layer}.{kind}", heads=layer + 2, width=8, dtype=dtype)
    for layer, dtype in enumerate((np.float32, np.float16))
    for kind in ("key", "value")
]


class Binding:
    """What was bound, by name."""

    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def bind_ortvalue_input(self, name, value):
        assert name not in self.inputs
        self.inputs[name] = value

    def bind_ortvalue_output(self, name, value):
        assert name not in self.outputs
        self.outputs[name] = value


def make_value(made):
    def on_device(shape, dtype):
        made.append((shape, dtype, object()))
        return made[-1]

    return on_device


def test_past_and_present_are_one_value_of_the_caches_shape():
    binding, made = Binding(), []
    DeviceCache(binding, CACHES, 40, make_value(made))
    assert [value[:2] for value in made] == [((1, cache.heads, 40, 8), cache.dtype) for cache in CACHES]
    for cache, value in zip(CACHES, made, strict=True):
        assert binding.inputs[cache.name] is binding.outputs[cache.present] is value


def test_passes_and_rewinds_bind_nothing_anew():
    binding, made = Binding(), []
    cache = DeviceCache(binding, CACHES, 40, make_value(made))
    for length, total in ((0, 7), (7, 9), (3, 5), (5, 40)):
        assert cache.bound(length, total) is binding
        cache.written(total)
    assert (len(made), cache.context_length) == (len(CACHES), 40)
