"""Conversations rendered by Jinja2, as transformers renders chat templates.

    python3 test/golden/chat/chat_golden.py

needs Jinja2 (3.1). The environment is that of `transformers.utils.chat_template_utils` (version 4.57 and 5):
an immutable sandbox with trimmed blocks, loop controls and `raise_exception`. Writes chat.json beside this file.
"""

import json
from pathlib import Path

from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

# `tokenizer.chat_template` of SmolLM2-135M-Instruct's GGUF file, which is `chat_template` of its tokenizer_config.json.
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# In the manner of Llama 2: first and last tokens, a variable, a filter, exceptions.
INST = (
    "{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{% for message in turns %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.index0 == 0 else '') + message['content'].strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)

# Written over several lines, as chat_template.jinja files are: whitespace of blocks is trimmed.
LINES = """\
{#- a comment -#}
{{- bos_token }}
{% set ns = namespace(turns=0) %}
{% for message in messages %}
    {% set ns.turns = ns.turns + 1 %}
    {%- if message.role == "assistant" %}
<|assistant|>
{{ message.content }}{{ eos_token }}
    {% else %}
<|{{ message.role }}|>
{{ message.content | tojson }} ({{ ns.turns }})
    {% endif %}
    {% if loop.last and add_generation_prompt %}
<|assistant|>
    {% endif %}
{% endfor %}
"""

USER = {"role": "user", "content": "Why is the sea salt?"}
CONVERSATIONS = [
    [USER],
    [{"role": "system", "content": "Answer in one word."}, USER],
    [
        USER,
        {"role": "assistant", "content": " Rivers carry salt.\n"},
        {"role": "user", "content": '  "How much", and <since> when? — é & 海 '},
    ],
    [USER, USER],
]


def raise_exception(message):
    raise TemplateError(message)


def rendered(template, messages):
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    try:
        text = environment.from_string(template).render(
            messages=messages, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
        )
    except TemplateError as error:
        return {"messages": messages, "error": str(error)}
    return {"messages": messages, "text": text}


templates = {"smollm2": SMOLLM2, "inst": INST, "lines": LINES}
golden = {
    name: {"template": template, "cases": [rendered(template, messages) for messages in CONVERSATIONS]}
    for name, template in templates.items()
}
path = Path(__file__).parent / "chat.json"
path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")
