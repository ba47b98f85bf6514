"""The law of unread renderings: what comes out is what is always rendered, or the template may look into contents."""

import pytest

from edgedraft.runtime.text.chat_template import ChatTemplate
from edgedraft.runtime.text.unread_template import UnreadRenderings

MESSAGES = [
    {"role": "system", "content": " Be  brief. "},
    {"role": "user", "content": "{{ 1 }} 'quoted' <|im_end|>"},
    {"role": "assistant", "content": "<think>\n\n</think> it's\t中文\n"},
]

BLIND = [
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + bos_token }}{% endfor %}",
    "{% for m in messages %}{% set said = 'a' + m.content %}{{- said }}{% endfor %}",
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}"
    "{{ messages | length }}{% for m in messages %}{{ m.content if m.role in ['user', 'tool'] else 'b' }}{% endfor %}",
    "{% for m in messages %}{% if m.content and not m.tool_calls %}{{ m.content or '' }}{% endif %}{% endfor %}",
    "{% set found = namespace(last=none) %}{% for m in messages %}{% set found.last = m.content %}{% endfor %}"
    "{{ found.last }}",
    "{% for m in messages %}{% if m.content is string and m.content is defined and m.content is not none %}"
    "{{ m.content }}{% endif %}{% if 'content' in m and not loop.last %}{{ m.role | trim }}{% endif %}{% endfor %}",
]

READING = [
    "{{ said | trim }}",
    "{{ said | upper }}",
    "{{ said | length }}",
    "{{ said | tojson }}",
    "{{ said | replace('a', 'b') }}",
    "{{ said | first }}",
    "{{ said | default('none', true) }}",
    "{{ m | tojson }}",
    "{{ m }}",
    "{{ [said] }}",
    "{{ said ~ 'a' }}",
    "{{ '%s' % said }}",
    "{{ said * 2 }}",
    "{{ said[:3] }}",
    "{{ said[0] }}",
    "{{ said.strip() }}",
    "{{ said.split('</think>')[-1] }}",
    "{{ said.absent }}",
    "{{ '{}'.format(said) }}",
    "{{ ','.join([said]) }}",
    "{{ ([said] | join(',')) }}",
    "{{ {said: 1} }}",
    "{{ {'a': 1}[said] }}",
    "{{ said is eq('a') }}",
    "{{ said is in('abc') }}",
    "{{ said is lower }}",
    "{% if said == 'a' %}a{% endif %}",
    "{% if 'a' != said %}a{% endif %}",
    "{% if said > 'a' %}a{% endif %}",
    "{% if said == messages[0].content %}a{% endif %}",
    "{% if '</think>' in said %}a{% endif %}",
    "{% if said in 'a b' %}a{% endif %}",
    "{% if said in m.role %}a{% endif %}",
    "{% if said not in ['a'] %}a{% endif %}",
    "{% if 'abc'.startswith(said) %}a{% endif %}",
    "{% for letter in said %}{{ letter }}{% endfor %}",
    "{% set text %}{{ said }}{% endset %}{{ text[:2] }}",
    "{% filter trim %}{{ said }}{% endfilter %}",
    "{% macro put(text) %}{{ text }}{% endmacro %}{{ put(said) | trim }}",
    "{{ messages | map(attribute='content') | join }}",
    "{% for each in messages | selectattr('content', 'eq', 'a') %}a{% endfor %}",
    "{{ raise_exception(said) }}",
    "{{ strftime_now('%Y') }}",
]


THINKING = (
    "{% for m in messages %}{% set said = m.content %}"
    "{% if m.role == 'assistant' and not loop.last and '</think>' in said %}"
    "{% set said = said.split('</think>')[-1] %}{% endif %}{{ said }}{% endfor %}"
)


def template_of(source: str | None) -> ChatTemplate:
    return ChatTemplate(source=source, special_tokens={"bos_token": "<s>"})


@pytest.mark.parametrize("source", BLIND)
def test_what_only_writes_contents_is_rendered_as_always(source):
    template = template_of(source)
    assert UnreadRenderings(template).render(MESSAGES) == template.render(MESSAGES, answer=False)


@pytest.mark.parametrize("part", READING)
def test_what_looks_into_contents_is_not(part):
    template = template_of("{% for m in messages %}{% set said = m.content %}" + part + "{% endfor %}")
    assert UnreadRenderings(template).render(MESSAGES) is None


@pytest.mark.parametrize("source", ["{{ raise_exception('no') }}", None])
def test_what_is_not_rendered_tells_nothing(source):
    assert UnreadRenderings(template_of(source)).render(MESSAGES) is None


def test_one_conversation_says_nothing_of_another():
    unread = UnreadRenderings(template_of(THINKING))
    assert unread.render(MESSAGES) is not None
    assert unread.render([*MESSAGES, {"role": "user", "content": "more"}]) is None
    assert unread.render(MESSAGES) is not None
