"""The way from the logits back to their product: the steps between, and their constants with a number per token."""

from dataclasses import dataclass, replace

import onnx_ir as ir

from edgedraft.exporter.graph.heads.cuts import Cut, constant_of, cut_numbers, input_at, label, refusal
from edgedraft.exporter.graph.heads.products import PRODUCTS
from edgedraft.exporter.graph.heads.reshapes import RESHAPES, check_reshape
from edgedraft.exporter.graph.heads.weights import weight_name
from edgedraft.exporter.graph.loading import LOGITS, output_named
from edgedraft.runtime.base.errors import EdgedraftError

ELEMENTWISE = {"Add", "Cast", "Clip", "Div", "Identity", "Max", "Min", "Mul", "Neg", "Sub", "Tanh", "Where"}
"""Steps that treat every logit alone: bias, scaling, soft-capping, casts, masks."""

_MAKERS_OF_ONE_NUMBER = {"DynamicQuantizeLinear"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tail:
    """The product whose rows are tokens, and the steps from it to the logits."""

    product: ir.Node
    steps: tuple[ir.Node, ...]

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """Return the product and the steps, which all make scores."""
        return (self.product, *self.steps)


def find_tail(model: ir.Model) -> Tail:
    """Walk back from the logits to their product; an error names the node that is not known."""
    logits = output_named(model, LOGITS)
    last = logits.producer()
    if last is None:
        raise EdgedraftError("graph output logits: no node makes it")
    products, steps = _behind(logits)
    _require_one(last, products)
    if not products:
        raise _unknown(last)
    tail = Tail(product=products[0], steps=_passed(products[0], steps))
    _require_no_other_reader(tail, logits)
    return tail


def tail_cuts(tail: Tail, width: int) -> list[Cut]:
    """List the cuts of the steps' own constants: biases, masks and scales with a number for every token."""
    cuts = []
    for step in tail.steps:
        if step.op_type in RESHAPES:
            check_reshape(step, width)
            continue
        for position, value in enumerate(step.inputs):
            if value is not None and value.producer() not in tail.nodes:
                cuts += _side_cuts(step, position, width)
    return cuts


def _side_cuts(step: ir.Node, position: int, width: int) -> list[Cut]:
    """List the cuts behind one input beside the scores; a computed input must be the same for all tokens."""
    value = input_at(step, position)
    if value is None or constant_of(value) is not None:
        return cut_numbers(step, position, width)
    maker = value.producer()
    if maker is not None and maker.op_type in ELEMENTWISE:
        deeper = [cut for at in range(len(maker.inputs)) for cut in _side_cuts(maker, at, width)]
        return [replace(cut, node=step, path=(position, *cut.path)) for cut in deeper]
    if not _is_one_number(value):
        raise refusal(step, f"input {position}: expected a constant or one number", got=value.name)
    return []


def _is_one_number(value: ir.Value) -> bool:
    """Check whether the value is the same for all tokens, as far as the graph shows."""
    maker = value.producer()
    if maker is not None and maker.op_type in _MAKERS_OF_ONE_NUMBER:
        return value is not maker.outputs[0]
    return value.shape is not None and (len(value.shape) == 0 or value.shape[-1] == 1)


def _scores(node: ir.Node) -> list[ir.Value]:
    """List the inputs through which scores may enter a step."""
    inputs = node.inputs[:1] if node.op_type in RESHAPES else node.inputs
    return [value for value in inputs if value is not None]


def _behind(value: ir.Value) -> tuple[list[ir.Node], list[ir.Node]]:
    """List the products behind ``value`` through known steps alone, and those steps; nearest first."""
    products: list[ir.Node] = []
    steps: list[ir.Node] = []
    waiting = [value]
    while waiting:
        node = waiting.pop(0).producer()
        if node is None or node in products or node in steps:
            continue
        if node.op_type in PRODUCTS:
            products.append(node)
        elif node.op_type in ELEMENTWISE | RESHAPES:
            steps.append(node)
            waiting += _scores(node)
    return products, steps


def _passed(product: ir.Node, steps: list[ir.Node]) -> tuple[ir.Node, ...]:
    """Return those of ``steps`` that the product's scores pass through."""
    passed = [product]
    # Each turn finds at least one step further, so as many turns as steps reach them all.
    for _ in steps:
        further = [step for step in steps if any(value.producer() in passed for value in _scores(step))]
        passed += [step for step in further if step not in passed]
    return tuple(passed[1:])


def _require_one(node: ir.Node, products: list[ir.Node]) -> None:
    if len(products) > 1:
        names = [weight_name(product.inputs[1]) or label(product) for product in products]
        raise refusal(node, "expected one weight", got=" and ".join(names), remedy="merge them in the export")


def _unknown(node: ir.Node) -> EdgedraftError:
    """Make the error for logits without a known product; it names the first unknown node on the way."""
    while node.op_type in ELEMENTWISE | RESHAPES:
        makers = [value.producer() for value in _scores(node) if constant_of(value) is None]
        further = next((maker for maker in makers if maker is not None), None)
        if further is None:
            return refusal(node, "expected a product with a constant weight behind it")
        node = further
    _require_one(node, [product for value in node.inputs if value is not None for product in _behind(value)[0]])
    known = ", ".join(sorted(PRODUCTS))
    remedy = "export the drafter with one of these heads"
    return refusal(node, f"expected one of {known}, or elementwise steps after one", got=node.op_type, remedy=remedy)


def _require_no_other_reader(tail: Tail, logits: ir.Value) -> None:
    """Refuse a tail whose scores are read by anything else: they could not change their width."""
    for value in (value for node in tail.nodes for value in node.outputs):
        strangers = [reader for reader in value.consumers() if reader not in tail.steps]
        for reader in strangers:
            raise refusal(reader, f"reads {value.name}, which is to be cut", remedy="export the drafter without it")
        if value is not logits and value.is_graph_output():
            raise EdgedraftError(f"graph output {value.name}: expected logits alone from the head")
