#!/usr/bin/env bash
# LiteLLM turns ends of answers that it does not know, and documented errors, into "stop".
#
# One would guess: a gateway that speaks many providers' protocols passes a finish reason on, or fails, where
# the provider says that the answer did not end well.
# What happens: an answer that a provider ended with `network_error` or `insufficient_system_resource` reaches the
# client as a whole one with `finish_reason: stop`, streamed or not; one that ended with `error` does so as well,
# but raises an exception when it is streamed. Anthropic's documented `model_context_window_exceeded` (the answer
# was cut for lack of room) becomes `stop`, while `max_tokens` becomes `length`. Half a sentence behind the gateway
# cannot be told from a finished one.
#
# Versions: litellm 1.108.7, Python 3.11. Runs without a network once the package is installed.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check litellm==1.108.7
export LITELLM_LOCAL_MODEL_COST_MAP=True LITELLM_LOG=ERROR
"$dir/venv/bin/python" - <<'PYTHON'
import json, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import litellm

litellm.suppress_debug_info = True

HALF = "The invoice was sent to"


class Provider(BaseHTTPRequestHandler):
    """Answers half a sentence, and ends it with the reason that the model's name asks for."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reason = asked["model"]
        if self.path.endswith("/messages"):
            body = {"id": "m", "type": "message", "role": "assistant", "model": reason,
                    "content": [{"type": "text", "text": HALF}], "stop_reason": reason, "stop_sequence": None,
                    "usage": {"input_tokens": 5, "output_tokens": 5}}
            return self.answer("application/json", json.dumps(body))
        usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
        if not asked.get("stream"):
            choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": HALF}}
            body = {"id": "c", "object": "chat.completion", "created": 1, "model": reason, "choices": [choice],
                    "usage": usage}
            return self.answer("application/json", json.dumps(body))
        chunk = lambda delta, end: "data: " + json.dumps({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": reason,
            "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}) + "\n\n"
        self.answer("text/event-stream",
                    chunk({"role": "assistant", "content": HALF}, None) + chunk({}, reason) + "data: [DONE]\n\n")

    def answer(self, kind, text):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
ask = [{"role": "user", "content": "Was the invoice sent?"}]
print("litellm", version("litellm"))
seen = {}
for kind, base, reasons in [
    ("openai", url + "/v1", ["network_error", "insufficient_system_resource", "error", "length"]),
    ("anthropic", url, ["model_context_window_exceeded", "max_tokens"]),
]:
    for reason in reasons:
        for stream in [False, True] if kind == "openai" else [False]:
            try:
                answer = litellm.completion(model=f"{kind}/{reason}", api_base=base, api_key="none", messages=ask,
                                            stream=stream)
                ends = [part.choices[0].finish_reason for part in (answer if stream else [answer])]
                end = [end for end in ends if end][-1]
            except Exception:
                end = "an exception"
            seen[reason, stream] = end
            print(f"{kind:9} {'streamed' if stream else 'whole':8} {reason:32} -> {end}")
expected = {(reason, stream): "stop" for reason in ["network_error", "insufficient_system_resource"]
            for stream in [False, True]}
expected |= {("error", False): "stop", ("error", True): "an exception",
             ("length", False): "length", ("length", True): "length",
             ("model_context_window_exceeded", False): "stop", ("max_tokens", False): "length"}
if seen != expected:
    raise SystemExit(f"changed: expected {expected}")
PYTHON
