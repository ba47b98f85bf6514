"""Templates run within a budget of steps and bytes; what they render is the same as without one."""

import threading

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text import template_sandbox
from edgedraft.runtime.text.chat_template import ChatTemplate, chat_environment, read_chat_template
from edgedraft.runtime.text.template_budget import MOST_STEPS, Budget, budget, new_budget

STEPS, TEXT = "the template takes too many steps", "the template makes too much text"
WIDTH, FORMAT = "the template asks for a large width", "the template formats with a large width"
SELF = "{{% set n = namespace(s={0}) %}}{{% for i in range(60) %}}{{% set n.s = {1} %}}{{% endfor %}}"
TWICE = "{% for a in range(99999) %}{% for b in range(99999) %}REST{% endfor %}{% endfor %}"
LONG = "{% set x = 'a' * 1000000 %}"
MANY = "{% set l = range(99999)|list %}{% for z in l %}REST{% endfor %}"

HOSTILE = {
    "nested loops": (TWICE.replace("REST", ""), STEPS),
    "nested loops of much text": (TWICE.replace("REST", "a" * 9999), STEPS),
    "loops that skip all": (
        "{% for y in range(99999) %}{% for x in range(99999) if false %}{% endfor %}{% endfor %}",
        STEPS,
    ),
    "doubling by ~": (SELF.format("'aaaaaaaa'", "n.s ~ n.s"), TEXT),
    "doubling by +": (SELF.format("'aaaaaaaa'", "n.s + n.s"), TEXT),
    "doubling lists": (SELF.format("[1]", "n.s + n.s"), TEXT),
    "doubling by replace": (SELF.format("'a'", "n.s.replace('a', 'aa')"), TEXT),
    "doubling by a format": (SELF.format("'a'", "'%s%s' % (n.s, n.s)"), TEXT),
    "doubling by format": (SELF.format("'a'", "'{0}{0}'.format(n.s)"), TEXT),
    "lists in lists, shown": (SELF.format("[1]", "[n.s, n.s]") + "{{ n.s }}", STEPS),
    "lists in lists, as JSON": (SELF.format("[1]", "[n.s, n.s]") + "{{ n.s|tojson }}", STEPS),
    "lists in lists, as a text": (SELF.format("[1]", "[n.s, n.s]") + "{{ 'a' ~ n.s }}", STEPS),
    "a deep list": (
        "{% set n = namespace(s=1) %}{% for i in range(999) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s }}",
        "deeply",
    ),
    "times": ("{{ 'a' * 10**10 }}", TEXT),
    "times the other way": ("{{ 10**10 * [1] }}", TEXT),
    "a power": ("{{ 10**(10**8) }}", "huge numbers"),
    "products": (SELF.format("2**4000", "n.s * n.s"), "huge numbers"),
    "a width after %": ("{{ '%999999999d' % 1 }}", FORMAT),
    "a given width after %": ("{{ '%*d' % (999999999, 1) }}", FORMAT),
    "the filter format": ("{{ '%999999999d'|format(1) }}", FORMAT),
    "a width in braces": ("{{ '{:>999999999}'.format(1) }}", FORMAT),
    "a given width in braces": ("{{ '{:{}}'.format(1, 999999999) }}", FORMAT),
    "center": ("{{ 'a'|center(10**9) }}", WIDTH),
    "a method that pads": ("{{ 'a'.rjust(10**9) }}", WIDTH),
    "tabs": ("{{ '\t'.expandtabs(10**9) }}", WIDTH),
    "indent": ("{{ 'a\n'|indent(10**9) }}", WIDTH),
    "batch": ("{{ [1]|batch(10**9, 'x')|list }}", WIDTH),
    "slice": ("{{ [1]|slice(10**9)|list }}", WIDTH),
    "replace": (LONG + "{{ x.replace('a', x) }}", TEXT),
    "replace nothing": (LONG + "{{ x.replace('', x) }}", TEXT),
    "the filter replace": (LONG + "{{ x|replace('a', x) }}", TEXT),
    "join": (LONG + "{{ x.join(range(99)|map('string')) }}", TEXT),
    "the filter join": (LONG + "{{ range(99)|join(x) }}", TEXT),
    "wordwrap": (LONG + "{{ x|wordwrap(1, wrapstring=x) }}", TEXT),
    "JSON with blanks": ("{{ [[1]]|tojson(indent=10**9) }}", WIDTH),
    "bytes": ("{{ (1).to_bytes(10**9, 'big') }}", "unsafe"),
    "translate": (LONG + "{{ x.translate({97: x}) }}", "unsafe"),
    "searching lists": (MANY.replace("REST", "{% if -1 in l %}{% endif %}"), STEPS),
    "cutting lists": (MANY.replace("REST", "{% set y = l[1:] %}"), TEXT),
    "comparing texts": (LONG + "{% set y = 'a' * 1000000 %}" + MANY.replace("REST", "{{ x == y }}"), STEPS),
    "counting in texts": (LONG + MANY.replace("REST", "{{ x.count('b') }}"), STEPS),
    "the same text, often": (LONG + MANY.replace("REST", "{{ x }}"), TEXT),
    "text in a block": (LONG + MANY.replace("REST", "{% set y %}{{ x }}{% endset %}"), TEXT),
    "sums of lists": ("{{ [[1]]|sum(start=[]) }}", "sums lists"),
    "digits": ("{{ 1.5|round(10**6) }}", WIDTH),
    "macros that branch": ("{% macro f(n) %}{{ f(n - 1) if n }}{{ f(n - 1) if n }}{% endmacro %}{{ f(60) }}", STEPS),
    "a macro without end": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "a loop without end": ("{% for a in [[[[]]]] recursive %}{{ loop([a,a]) }}{% endfor %}", "recursion"),
    "deep brackets": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "recursion"),
    "deep blocks": ("{% if 1 %}" * 300 + "{% endif %}" * 300, ""),
}
LEGAL = (
    "{{ messages[-1].content }}{{ messages[:1]|length }}{{ messages[0]['content'][1:3] ~ 1 ~ none }}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}{{ m.content"
    " }}{% endfor %}",
    "{% for m in messages recursive %}{{ m.role }}{% else %}none{% endfor %}",
    "{% macro f(a, b='x') %}<{{ a }}{{ b }}{{ caller() if caller }}>{% endmacro %}{{ f(1) }}{% call f(2)"
    " %}in{% endcall %}",
    "{% set n = namespace(a=0, t='') %}{% for m in messages %}{% set n.a = n.a + 1 %}{% set n.t = n.t ~"
    " m.role %}{% endfor %}{{ n.a }}{{ n.t }}",
    "{{ messages|tojson }}{{ messages|tojson(indent=4) }}{{ {'a': [1, 2.5, none]}|tojson(separators=(',', ':')) }}",
    "{{ 'a,b'.split(',')|join(' ') }}{{ ' x '.strip()|upper }}{{ ['b', 'a']|sort|first }}{{"
    " 'abc'.replace('b', 'xx') }}",
    "{{ 1 < 2 < 3 }}{{ 'a' in 'abc' }}{{ 'a' not in ['b'] }}{{ messages == messages }}{{ 7 // 2 }}{{ 7 % 4"
    " }}{{ 2 ** 5 }}{{ -3|abs }}",
    "{{ '%s is %05.2f' % ('x', 1.5) }}{{ '{:>5}|{}'.format(1, 'y') }}{{ 'x'|center(7) }}{{ 'a\nb'|indent(2) }}",
    "{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join('+') }}{{"
    " range(5)|batch(2)|list }}",
    "{% set x %}block {{ 1 }}{% endset %}{{ x }}{% filter upper %}abc{% endfilter %}{{ missing is defined"
    " }}{{ missing }}",
    "{{ [1, 2, 3]|sum }}{{ 'ß'|upper }}{{ 'x' * 3 }}{{ [1] * 2 + [3] }}{{ (1.25)|round(1) }}{{ 'A'|lower ~"
    " 'b'|capitalize }}",
    "{%- for key, value in {'b': 1, 'a': 2}|dictsort %}{{ key }}{{ value }}{% if not loop.last %}, {% endif"
    " %}{% endfor -%}",
    "{% generation %}{{ 'x' }}{% endgeneration %}{% for i in range(9) %}{% if i == 3 %}{% break %}{% endif"
    " %}{{ i }}{% endfor %}",
)
MESSAGES = [{"role": "user", "content": "héllo"}, {"role": "assistant", "content": "wörld"}]


def rendered(source, messages=MESSAGES, environment=None):
    return ChatTemplate(source=source, special_tokens={}).render(messages, environment=environment)


@pytest.mark.parametrize(("source", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_template_without_bounds_is_refused_in_one_line(source, reason):
    template = ChatTemplate(source=source, special_tokens={})
    with pytest.raises(EdgedraftError) as raised:
        template._render(MESSAGES, (), True, None)
    assert str(raised.value).startswith("chat_template.jinja cannot render this conversation, got ")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("source", LEGAL)
def test_a_budget_changes_no_text(source):
    assert rendered(source) == rendered(source, environment=chat_environment(ImmutableSandboxedEnvironment))


def test_the_budget_grows_with_the_users_own_text():
    messages = [{"role": "user", "content": "word " * 20_000}] * 40
    source = "{% for m in messages %}{% set x = m.content ~ '!' %}{% set y = x + x %}{{ m.content }}{% endfor %}"
    assert len(rendered(source, messages)) == 40 * 100_000


def test_a_text_far_longer_than_its_conversation_is_refused():
    with pytest.raises(EdgedraftError, match=r"expected a text of at most 1,04\d,\d+ characters for this conversation"):
        rendered("{{ 'a' * 2000000 }}")


def test_a_budget_belongs_to_one_thread_and_is_used_on_inside():
    with new_budget() as outer:
        outer.step(1000)
        with new_budget(10) as inner:
            assert budget() is inner is outer
            assert inner.steps > MOST_STEPS - 1000
        seen = []
        other = threading.Thread(target=lambda: seen.append(budget()))
        other.start()
        other.join()
        assert seen[0] is not outer
        assert budget() is outer
    assert budget() is not outer
    assert Budget().steps == MOST_STEPS


@pytest.mark.parametrize("fault", ["_count_steps", "_check_binop"])
def test_a_skipped_check_would_be_noticed(monkeypatch, fault):
    """Without either check, a template of the list above is no longer refused for its reason."""
    source = SELF.format("2**4000", "n.s * n.s" if fault == "_check_binop" else "0") + "{{ 'x' }}"
    monkeypatch.setattr(template_sandbox, fault, lambda *arguments: None)
    environment = chat_environment()
    if fault == "_check_binop":
        with pytest.raises(EdgedraftError) as raised:
            rendered(source.replace("range(60)", "range(3)") + "{{ n.s }}", environment=environment)
        assert "huge numbers" not in str(raised.value)
        return
    with new_budget() as counted:
        environment.from_string("{% for i in range(50000) %}{% endfor %}").render()
    assert counted.steps > MOST_STEPS - 50_000


def test_a_large_template_is_refused_unread(tmp_path):
    (tmp_path / "chat_template.jinja").write_text("a" * (2**20 + 1))
    with pytest.raises(EdgedraftError, match="expected a file of at most 1,048,576 bytes"):
        read_chat_template(tmp_path)


@pytest.mark.parametrize(
    "template", [["a"], [{"name": "default", "template": 5}, 5], "a" * (2**20 + 1)], ids=["texts", "numbers", "long"]
)
def test_a_template_of_another_shape_among_the_settings_is_refused(tmp_path, template):
    import json

    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    with pytest.raises(EdgedraftError, match=r"tokenizer_config\.json: chat_template: expected "):
        read_chat_template(tmp_path)
