"""Array types: every alias of a numpy array that the package uses, defined once."""

from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]
Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
CountArray = npt.NDArray[np.int64 | np.float64]
"""Counts, or weighted counts."""

CacheArray = npt.NDArray[np.float32] | npt.NDArray[np.float16]
"""Keys or values of one layer."""

Ids = Int64Array
"""Token ids."""

Logits = Float32Array
"""Scores before the softmax, (rows, vocab) or (vocab,)."""

Probabilities = Float64Array
"""A distribution over a vocabulary, (vocab,), that sums to 1."""
