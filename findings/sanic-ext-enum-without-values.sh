#!/usr/bin/env bash
# Sanic Extensions documents a `Literal` of texts as an object, so that no value fits its schema.
#
# One would guess: `status: Literal["", "draft"]` of a pydantic model is a string with that enum, as pydantic's own schema
# of the model says; and a reference in the document leads somewhere.
# What happens: with the model given as documented, `openapi.body({"application/json": Item})`, the field is
# {"type": "object", "enum": ["", "draft"]}, which nothing can be valid against, and a nested model is a $ref to
# "#/$defs/Owner", which the document does not have. Clients that check what they send cannot send anything.
# `Item.model_json_schema()` in the place of `Item` gives a right enum.
#
# Versions: sanic-ext 25.12.0, sanic 25.12.1, pydantic 2.14.4, Python 3.11. Needs python3 with venv, and curl.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet sanic==25.12.1 sanic-ext==25.12.0 pydantic==2.14.4
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$dir/app.py" <<'PY'
import sys
from typing import Literal

from pydantic import BaseModel
from sanic import Sanic, json
from sanic_ext import openapi


class Owner(BaseModel):
    name: str


class Item(BaseModel):
    status: Literal["", "draft"] = ""
    owner: Owner | None = None


app = Sanic("shop")


@app.post("/items")
@openapi.body({"application/json": Item})
async def create(request):
    return json({})


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), single_process=True, motd=False)
PY
"$dir/venv/bin/pip" list --format freeze 2>/dev/null | grep -E '^(sanic|sanic-ext|pydantic)='
(cd "$dir" && exec venv/bin/python app.py "$port") > "$dir/log" 2>&1 &
server=$!
curl --silent --retry 50 --retry-delay 1 --retry-connrefused --output "$dir/document.json" \
  "http://127.0.0.1:$port/docs/openapi.json"
"$dir/venv/bin/python" - "$dir/document.json" <<'PY'
import json
import sys

document = json.load(open(sys.argv[1]))
schema = document["paths"]["/items"]["post"]["requestBody"]["content"]["application/json"]["schema"]
status, owner = schema["properties"]["status"], schema["properties"]["owner"]
print("status:", json.dumps(status))
print("owner:", json.dumps(owner))
print("$defs of the document:", document.get("$defs"), "of the schema:", schema.get("$defs"))
same = status["type"] == "object" and status["enum"] == ["", "draft"] and "#/$defs/Owner" in json.dumps(owner)
sys.exit(0 if same and "$defs" not in document and "$defs" not in schema else 1)
PY
