"""Rendering a conversation whose contents cannot be read: what comes out does not depend on what they say.

A chat template that takes the same way and writes the same around its contents whatever they say need not be rendered
for every conversation. To know, contents are texts that raise at everything but being joined, put out and asked whether
they are empty, in a sandbox that refuses what could look into them unseen: most filters, tests and calls, and parts
whose output is text to others.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.chat_template import ChatTemplate, chat_environment

_FILTERS = {"first", "last", "length", "list", "trim"}
"""Those that ask a text itself, which then raises."""
_TESTS = {"boolean", "callable", "defined", "false", "float", "integer", "mapping", "none", "number", "string", "true"}
"""Those of the kind of a value, the same for every text."""
_TEXT_OF_PARTS = (nodes.AssignBlock, nodes.Block, nodes.CallBlock, nodes.Extends, nodes.FilterBlock, nodes.FromImport)
_TEXT_OF_OTHERS = (nodes.Import, nodes.Include, nodes.Macro)
_MEMBERSHIP = ("in", "notin")


class _ReadError(Exception):
    """Something looked at what a content says."""


def _refused(*_: Any, **__: Any) -> NoReturn:
    raise _ReadError


class _Unreadable(str):
    """A text that is not empty and can be joined to others, which makes one of its kind; nothing else."""

    def __bool__(self) -> bool:
        return True

    def __add__(self, other: str) -> "_Unreadable":
        return _Unreadable(str.__add__(self, other))

    def __radd__(self, other: str) -> "_Unreadable":
        return _Unreadable(str.__add__(other, self))


_HARMLESS = {"__add__", "__bool__", "__class__", "__delattr__", "__dir__", "__doc__", "__getattribute__", "__init__"}
_HARMLESS |= {"__init_subclass__", "__new__", "__setattr__", "__subclasshook__"}
for _name in {*dir(str)} - _HARMLESS:
    setattr(_Unreadable, _name, _refused)


class _Watching(ImmutableSandboxedEnvironment):
    """The sandbox, without calls of anything but ``namespace``."""

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """See the base class, whose parameters have other names to leave these to templates."""
        return super().call(context, obj, *args, **kwargs) if obj is Namespace else _refused()


class UnreadRenderings:
    """Renderings by one template of conversations whose contents it cannot read."""

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self._environment = chat_environment(_Watching, finalize=_put_out)
        self._environment.filters.update(dict.fromkeys(self._environment.filters.keys() - _FILTERS, _refused))
        self._environment.tests.update(dict.fromkeys(self._environment.tests.keys() - _TESTS, _refused))

    def render(self, messages: Sequence[Mapping[str, str]]) -> str | None:
        """What `ChatTemplate.render` gives without ``answer``; None where a content may have been looked into.

        What is found holds for conversations of the same roles without an empty content.
        """
        if not self._tells:
            return None
        unreadable = [{**message, "content": _Unreadable(message["content"])} for message in messages]
        try:
            return self._template.render(unreadable, answer=False, environment=self._environment)
        except (_ReadError, EdgedraftError):
            return None

    @cached_property
    def _tells(self) -> bool:
        """Whether whatever looks into a content raises."""
        source = self._template.source
        return source is not None and not _hides_reading(self._environment.parse(source))


def _put_out(value: object) -> object:
    """What a template writes."""
    return str.__str__(value) if isinstance(value, _Unreadable) else value


def _hides_reading(tree: nodes.Template) -> bool:
    """Whether output becomes a text that can be read, or a content may be looked for in a text."""
    if any(True for _ in tree.find_all((*_TEXT_OF_PARTS, *_TEXT_OF_OTHERS))):
        return True
    return any(
        operand.op in _MEMBERSHIP
        and not isinstance(operand.expr, nodes.List | nodes.Tuple)
        and not (isinstance(compare.expr, nodes.Const) and len(compare.ops) == 1)
        for compare in tree.find_all(nodes.Compare)
        for operand in compare.ops
    )
