#!/usr/bin/env bash
# One line of a .env file has up to three values: Python's reader, npm's and node's own do not agree.
#
# One would guess: a quoted value with an escaped quote, or a password with a `#` in it, is the same for the
# backend in Python and the one in JavaScript, or one of them fails.
# What happens, without an error or a warning: of A="{\"a\": 1}" python-dotenv reads {"a": 1}, dotenv keeps the
# backslashes, and node's --env-file ends the value at the first escaped quote: {\ is left. Of B=abc#def
# python-dotenv reads abc#def, the other two abc. Of C='${HOME}/x', in single quotes, python-dotenv expands the
# variable. Of D="a\tb" python-dotenv makes a tab. A secret shared by such two programs differs, and the first
# sign of it is a signature that does not fit.
#
# Versions: python-dotenv 1.2.4 (Python 3.11), dotenv 16.6.1 and 18.0.10, node 20.20 (util.parseEnv, which is
# what --env-file uses). Runs without a network once the packages are installed.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check python-dotenv==1.2.4
npm install --silent --no-audit --no-fund --prefix "$dir" dotenv@18.0.10 dotenv16@npm:dotenv@16.6.1
cd "$dir"
cat > .env <<'ENV'
A="{\"a\": 1}"
B=abc#def
C='${HOME}/x'
D="a\tb"
E=abc$def
ENV
HOME=/home venv/bin/python - > python.json <<'PYTHON'
import json
from dotenv import dotenv_values
print(json.dumps(dotenv_values(".env")))
PYTHON
node - > node.json <<'NODE'
const text = require("fs").readFileSync(".env", "utf8")
const read = { dotenv16: require("dotenv16").parse, dotenv18: require("dotenv").parse, node: require("node:util").parseEnv }
console.log(JSON.stringify(Object.fromEntries(Object.entries(read).map(([name, parse]) => [name, parse(text)]))))
NODE
python3 - <<'PYTHON'
import json

seen = {"python-dotenv": json.load(open("python.json")), **json.load(open("node.json"))}
lines = dict(line.rstrip("\n").split("=", 1) for line in open(".env"))
for name, line in lines.items():
    print(f"{name}={line}")
    for reader, values in seen.items():
        print(f"    {reader:14} {values[name]!r}")
kept = {"A": '{\\"a\\": 1}', "B": "abc", "C": "${HOME}/x", "D": "a\\tb", "E": "abc$def"}
expected = {
    "python-dotenv": {"A": '{"a": 1}', "B": "abc#def", "C": "/home/x", "D": "a\tb", "E": "abc$def"},
    "dotenv16": kept,
    "dotenv18": kept,
    "node": {**kept, "A": "{\\"},
}
if seen != expected:
    raise SystemExit(f"changed: expected {expected}")
PYTHON
