"""Graphs of one product, as an exporter would write them, and sessions on them with or without our kernels."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgedraft.runtime.onnx.session import share_thread_pool

INPUTS = ("A", "B", "scales", "zero_points", "g_idx", "bias")


def product_graph(matrix, *, drop=(), computed=(), rank=2, **attributes):
    """Return a serialized graph of one MatMulNBits: without the inputs ``drop``, ``computed`` as graph inputs."""
    arrays = {
        "B": matrix.weights,
        "scales": matrix.scales,
        "zero_points": matrix.zero_points,
        "bias": matrix.bias,
    }
    arrays = {name: array for name, array in arrays.items() if array is not None and name not in drop}
    sizes = {"K": matrix.depth, "N": matrix.columns, "bits": matrix.bits, "block_size": matrix.block_size}
    names = [name if name == "A" or name in arrays else "" for name in INPUTS]
    while names[-1] == "":
        names.pop()
    node = helper.make_node(
        "MatMulNBits", names, ["Y"], domain="com.microsoft", **(sizes | {"accuracy_level": 4} | attributes)
    )
    shape = [f"d{i}" for i in range(rank - 1)]
    inputs = [helper.make_tensor_value_info("A", TensorProto.FLOAT, [*shape, None])]
    inputs += [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(arrays[name].dtype), arrays[name].shape)
        for name in computed
    ]
    output = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [*shape, None])
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items() if name not in computed]
    graph = helper.make_graph([node], "product", inputs, [output], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def open_graph(graph, library=None):
    """Open a session on a serialized graph, on the pool of all tests' sessions, with the kernels of ``library``."""
    share_thread_pool(2)
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = 4
    if library is not None:
        options.register_custom_ops_library(str(library.path))
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(session, x, **feeds):
    """Return the product of one pass."""
    (y,) = session.run(None, {"A": np.ascontiguousarray(x, np.float32), **feeds})
    return y
