"""Keys and values that stay in the memory of the GPU that computes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from edgedraft.runtime.onnx.binding import Binding
from edgedraft.runtime.onnx.signature import CacheInput


class DeviceBinding(Binding, Protocol):
    """A binding that also takes values in a device's memory, and keeps them alive."""

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        """Have the graph read ``name`` from ``value``."""
        ...

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        """Have the graph write ``name`` to ``value``."""
        ...


class DeviceCache:
    """Keys and values in device memory, where past and present are one value that a pass writes in place.

    A pass copies only its tokens there and its logits back. ``on_device(shape, dtype)`` allocates a value. The memory
    behind the last token read is not initialised; the attention mask keeps the graph from reading it.
    """

    def __init__(
        self,
        binding: DeviceBinding,
        caches: Sequence[CacheInput],
        context_length: int,
        on_device: Callable[[tuple[int, ...], npt.DTypeLike], Any],
    ) -> None:
        self._binding, self._context_length = binding, context_length
        for cache in caches:
            # The same value as input and output: the graph appends to it, and no keys or values are ever copied.
            value = on_device((1, cache.heads, context_length, cache.width), cache.dtype)
            binding.bind_ortvalue_input(cache.name, value)
            binding.bind_ortvalue_output(cache.present, value)

    @property
    def context_length(self) -> int:
        """See `Cache.context_length`."""
        return self._context_length

    def bound(self, length: int, total: int) -> Binding:
        """See `Cache.bound`; the binding is always the same."""
        return self._binding

    def written(self, total: int) -> None:
        """See `Cache.written`; only the length changes, and the model counts it."""
