#!/usr/bin/env bash
# Robyn hands the values of a query to a handler as they were encoded.
#
# One would guess: `?name=a%20b%26c` gives a handler the name `a b&c`, as every other framework for Python does.
# What happens: the handler gets `a%20b%26c`, from `query_params` and from an annotated parameter alike; `+` stays `+`.
# A search for two words finds nothing until the handler calls `urllib.parse.unquote_plus`.
#
# Versions: robyn 0.88.0, Python 3.11. Needs python3 with venv, and curl.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
server=
# Robyn does not end on SIGTERM.
trap '[ -z "$server" ] || kill -KILL "$server"; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet robyn==0.88.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$dir/app.py" <<'PY'
import sys

from robyn import Request, Robyn

app = Robyn(__file__)


@app.get("/raw")
def raw(request: Request):
    return request.query_params.get("name", "")


@app.get("/annotated")
def annotated(name: str):
    return name


app.start(host="127.0.0.1", port=int(sys.argv[1]))
PY
"$dir/venv/bin/pip" list --format freeze 2>/dev/null | grep -i '^robyn='
(cd "$dir" && exec venv/bin/python app.py "$port") > "$dir/log" 2>&1 &
server=$!
url="http://127.0.0.1:$port"
curl --silent --retry 50 --retry-delay 1 --retry-connrefused --output "$dir/first" "$url/raw?name=x"
changed=0
for path in raw annotated; do
  seen=$(curl --silent "$url/$path?name=a%20b%26c")
  echo "/$path?name=a%20b%26c: the handler gets $seen"
  [ "$seen" = 'a%20b%26c' ] || changed=1
done
exit "$changed"
