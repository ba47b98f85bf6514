"""A Jinja sandbox that also bounds the steps and the memory of a template: see `template_budget`.

The parsed template is changed before it is compiled: loops and macros count their steps, and what makes or reads texts
and lists goes through functions that ask the budget first. Rendered texts are the same.
"""

import functools
import re
from collections.abc import Callable, Iterable
from string import Formatter
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import _PassArg

from edgedraft.runtime.text.template_budget import Budget, budget
from edgedraft.runtime.text.template_growth import FILTERS, METHODS, READ_LONGER, listed

_STEP, _GO_ON, _READ, _MADE, _JOINED = "_step", "_go_on", "_read", "_made", "_joined"
_NOT_NEEDED = ("urlize", "xmlattr", "pprint", "random", "striptags")
"""Filters for web pages, which no chat template needs, and whose time is hard to bound."""

_READ_WHOLE = frozenset(
    (
        "string",
        "tojson",
        "unique",
        "sort",
        "groupby",
        "dictsort",
        "min",
        "max",
        "sum",
        "urlencode",
        "safe",
        "escape",
        "e",
    )
)
_LONG_WIDTH = re.compile(r"\*|\d{4,}")
_MOST_BITS, _LONGEST_FORM, _CALL_STEPS = 4096, 200, 8


class BudgetedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox within the budget of `template_budget.new_budget`."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "**", "%"))

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=_shown, **options)
        self.globals.pop("lipsum")
        for name in _NOT_NEEDED:
            del self.filters[name]
        for table in (self.filters, self.tests):
            _bound(table)
        self.filters |= {_STEP: _step, _GO_ON: _go_on, _READ: _read, _MADE: _made, _JOINED: _joined}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        _count_steps(parsed)
        changed = _changed(parsed)
        assert isinstance(changed, nodes.Template)
        return changed

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute within the budget."""
        _check_binop(operator, left, right, budget())
        return budget().made(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Call within the budget; methods that make long texts of short ones are asked how long first."""
        within, owner = budget(), getattr(__obj, "__self__", None)
        within.step(_CALL_STEPS)
        if isinstance(owner, str):
            args = tuple(listed(each, within) for each in args)
            grows: Callable[..., None] = METHODS.get(getattr(__obj, "__name__", ""), _no_growth)
            grows(within, owner, *args, **kwargs)
        elif isinstance(owner, list | tuple):
            within.read(owner)  # index and count compare
        elif __obj is __self.globals.get("strftime_now") and len(str(args)) > _LONGEST_FORM:
            raise SecurityError("the template asks for a long date")
        return within.made(super().call(__context, __obj, *args, **kwargs))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse the methods of numbers and bytes, too: some make gigabytes."""
        foreign = isinstance(obj, int | float | bytes) or (isinstance(obj, str) and attr == "translate")
        return not foreign and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Format with bounded widths."""
        return None if super().wrap_str_format(value) is None else functools.partial(_formatted, self, value)


def _bound(table: dict[str, Any]) -> None:
    """Let every filter or test in ``table`` run within the budget."""
    for name, called in tuple(table.items()):
        table[name] = budgeted(name, called)


class _Formatter(SandboxedFormatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if _LONG_WIDTH.search(format_spec):
            raise SecurityError("the template formats with a large width")
        budget().make(budget().read(value))
        return str(super().format_field(value, format_spec))


def _formatted(environment: BudgetedEnvironment, method: Any, *args: Any, **kwargs: Any) -> str:
    if method.__name__ == "format_map":
        kwargs, args = args[0], ()
    formatter: Formatter = _Formatter(environment)
    return str(budget().made(formatter.vformat(method.__self__, args, kwargs)))


def _no_growth(within: Budget, *args: Any, **kwargs: Any) -> None:
    within.step(1 + len(args[0]) // 16)


def budgeted(name: str, called: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter or a test; that it takes the context keeps the compiler from calling it for constants."""
    wanted = _PassArg.from_obj(called)

    @pass_context
    def within_budget(context: Context, *args: Any, **kwargs: Any) -> Any:
        within = budget()
        within.step(_CALL_STEPS)
        if name in _READ_WHOLE:
            args = (listed(args[0], within), *args[1:])
            within.make(within.read(args[0]))
        if name in FILTERS:
            args = (listed(args[0], within), *args[1:])
            FILTERS[name](within, *args, **kwargs)
        own = {
            None: (),
            _PassArg.context: (context,),
            _PassArg.eval_context: (context.eval_ctx,),
            _PassArg.environment: (context.environment,),
        }
        return within.made(called(*own[wanted], *args, **kwargs))

    return within_budget


def _check_binop(operator: str, left: Any, right: Any, within: Budget) -> None:
    numbers = isinstance(left, int) and isinstance(right, int)
    if numbers and operator in ("**", "*"):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        if bits > _MOST_BITS:
            raise SecurityError("the template computes with huge numbers")
    elif operator == "*":
        for text, count in ((left, right), (right, left)):
            if isinstance(text, str | list | tuple) and isinstance(count, int):
                within.make(len(text) * max(count, 0) * (4 if isinstance(text, str) else 8))
    elif operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        within.make(len(left) + len(right))
    elif operator == "%" and isinstance(left, str):
        if _LONG_WIDTH.search(left):
            raise SecurityError("the template formats with a large width")
        within.make(len(left) + left.count("%") * within.read(right))


def _shown(value: Any) -> Any:
    """Count a value that is put into the text."""
    within = budget()
    within.step(1)
    if not isinstance(value, str | Undefined):
        within.make(within.read(value))
    return within.made(value)


@pass_context
def _step(context: Context, count: int) -> str:
    budget().step(count)
    budget().make(count)
    return ""


@pass_context
def _go_on(context: Context, count: int) -> bool:
    budget().step(count)
    return True


@pass_context
def _read(context: Context, value: Any) -> Any:
    if isinstance(value, READ_LONGER):
        budget().read(value)
    return value


@pass_context
def _made(context: Context, value: Any) -> Any:
    return budget().made(value)


@pass_context
def _joined(context: Context, parts: Iterable[Any]) -> str:
    return "".join([str(_shown(part)) for part in parts])


def _filter(name: str, node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _count_steps(parsed: nodes.Template) -> None:
    """Let every body that runs more than once count what it evaluates and writes, each time."""
    for node in parsed.find_all((nodes.For, nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.Block)):
        written = sum(len(each.data) for each in node.find_all(nodes.TemplateData))
        count = nodes.Const(2 + sum(1 for _ in node.find_all(nodes.Node)) + written, lineno=node.lineno)
        body: list[nodes.Node] = node.body  # type: ignore[attr-defined]  # all of these kinds have one
        body.insert(0, nodes.ExprStmt(_filter(_STEP, count), lineno=node.lineno))
        if isinstance(node, nodes.For) and node.test is not None:
            node.test = nodes.And(_filter(_GO_ON, nodes.Const(3)), node.test, lineno=node.lineno)


def _changed(node: nodes.Node) -> nodes.Node:
    """Return the node with everything that makes or reads long values going through the budget."""
    for field, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, field, _changed(value))
        elif isinstance(value, list):
            setattr(node, field, [_changed(each) if isinstance(each, nodes.Node) else each for each in value])
    if isinstance(node, nodes.Concat):
        return _filter(_JOINED, nodes.List(node.nodes, lineno=node.lineno))
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return _filter(_MADE, node)
    if isinstance(node, nodes.Compare):
        _read_compared(node)
    return node


def _read_compared(node: nodes.Compare) -> None:
    """Count the reading of what is compared, unless one side is a constant, which ends the comparison soon."""
    before: nodes.Expr = node.expr
    for operand in node.ops:
        inside = operand.op in ("in", "notin")
        quick = isinstance(operand.expr, nodes.Const) or (isinstance(before, nodes.Const) and not inside)
        before = operand.expr
        if not quick:
            operand.expr = _filter(_READ, operand.expr)
