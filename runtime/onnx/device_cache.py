"""Keys and values that stay in the memory of the device that computes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from edgedraft.runtime.onnx.memory import Binding
from edgedraft.runtime.onnx.signature import CacheInput


class DeviceBinding(Binding, Protocol):
    """A binding that takes values in a device's memory, too; it keeps them alive."""

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        """Have the graph read ``name`` from ``value``."""
        ...

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        """Have the graph write ``name`` to ``value``."""
        ...


class DeviceCache:
    """Past and present in one value on the device, written in place: a pass copies tokens there and logits back.

    ``on_device(shape, dtype)`` makes a value. What lies behind the tokens held is whatever lay there, never read.
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
            value = on_device((1, cache.heads, context_length, cache.width), cache.dtype)
            binding.bind_ortvalue_input(cache.name, value)
            binding.bind_ortvalue_output(cache.present, value)

    @property
    def context_length(self) -> int:
        """See `Cache.context_length`."""
        return self._context_length

    def bound(self, length: int, total: int) -> Binding:
        """See `Cache.bound`; always the same one."""
        return self._binding

    def written(self, total: int) -> None:
        """See `Cache.written`; a length is all there is to note, and its model notes it."""
