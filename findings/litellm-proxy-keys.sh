#!/usr/bin/env bash
# LiteLLM's proxy answers a wrong key with 400 "No connected db.", and a missing one with 500.
#
# One would guess: a server with a master key answers a key that it does not know, or none, with 401, as the API
# that it speaks does, so that a client knows that the key is at fault and that no retry helps.
# What happens, without a database: a wrong key is looked up in the database that there is not, which is the
# request's fault by the status (400) and nobody's by the words ("No connected db."). Without the header
# `Authorization` the answer is 500 "Internal Server Error" in plain text: while the refusal is prepared, a module
# is imported that `litellm[proxy]` does not install. Clients retry that.
#
# Versions: litellm 1.108.7 with its extra `proxy`, Python 3.11. Runs without a network once they are installed.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check 'litellm[proxy]==1.108.7'
# Nothing but the configuration is around the proxy.
mkdir -p "$dir/a/b/c"
cd "$dir/a/b/c"
"$dir/venv/bin/python" - <<'PYTHON'
import json, os, socket, subprocess, sys, time, urllib.error, urllib.request
from importlib.metadata import version
from pathlib import Path

Path("config.yaml").write_text("""
model_list:
  - model_name: m
    litellm_params: {model: openai/m, api_base: http://127.0.0.1:1/v1, api_key: none}
general_settings: {master_key: sk-right}
""")
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
proxy = subprocess.Popen(
    [Path(sys.executable).with_name("litellm"), "--host", "127.0.0.1", "--port", str(port), "--config", "config.yaml"],
    env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def get(path, key=None):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        said = error.read().decode()
        return error.code, json.loads(said)["error"]["message"] if said.startswith("{") else said


try:
    for _ in range(600):
        try:
            get("/health/liveliness")
            break
        except OSError:
            time.sleep(0.2)
    print("litellm", version("litellm"))
    seen = {name: get("/v1/models", key) for name, key in [("right", "sk-right"), ("wrong", "sk-wrong"), ("none", None)]}
    for name, answer in seen.items():
        print(f"key {name:6}", answer)
finally:
    proxy.terminate()
    proxy.wait()
if seen != {"right": (200, ""), "wrong": (400, "No connected db."), "none": (500, "Internal Server Error")}:
    raise SystemExit("changed")
PYTHON
