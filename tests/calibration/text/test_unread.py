"""The law of unread renderings: what comes out is what is always rendered, or the template may look into contents."""

import pytest

from edgedraft.calibration.text.unread import UnreadRenderings
from edgedraft.runtime.text import TextCodec

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


@pytest.fixture
def codec_with(chat_codec):
    def make(template: str) -> TextCodec:
        folder = chat_codec(None).folder
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>"}', encoding="utf-8")
        return TextCodec(folder)

    return make


@pytest.mark.parametrize("template", BLIND)
def test_what_only_writes_contents_is_rendered_as_always(codec_with, template):
    codec = codec_with(template)
    assert UnreadRenderings(codec).render(MESSAGES) == codec.render_chat(MESSAGES, answer=False)


@pytest.mark.parametrize("part", READING)
def test_what_looks_into_contents_is_not(codec_with, part):
    template = "{% for m in messages %}{% set said = m.content %}" + part + "{% endfor %}"
    assert UnreadRenderings(codec_with(template)).render(MESSAGES) is None


def test_a_template_that_refuses_the_conversation_renders_nothing(codec_with):
    assert UnreadRenderings(codec_with("{{ raise_exception('no') }}")).render(MESSAGES) is None


def test_without_a_template_there_is_nothing_to_render(chat_codec):
    assert UnreadRenderings(chat_codec(None)).render(MESSAGES) is None


def test_one_conversation_says_nothing_of_another(chat_codec):
    unread = UnreadRenderings(chat_codec("last_thought"))
    assert unread.render(MESSAGES) is not None
    assert unread.render([*MESSAGES, {"role": "user", "content": "more"}]) is None
    assert unread.render(MESSAGES) is not None
