#!/usr/bin/env bash
# A class that implements a typing.Protocol changes its signature when it is first instantiated, and FastAPI's
# endpoint with it.
#
# One would guess: a class without an `__init__` has the signature `()`, always, and `Depends(Strategy)` takes no
# parameters from the request, whether or not the class has a Protocol among its bases.
# What happens: until its first instance is made the class has the Protocol's stand-in for `__init__`, whose signature
# is `(*args, **kwargs)`; the first instance takes the stand-in away, for good. FastAPI reads the signature when a
# route is declared: the endpoint requires the query parameters `args` and `kwargs` and answers 422 without them, unless
# anybody happened to make an instance before, in a module that was imported earlier. The types and the text of the
# class say nothing of it. fastapi-users' `Strategy` and `Transport` are such Protocols, meant to be derived from:
# `AuthenticationBackend(…, get_strategy=MyStrategy)` makes every endpoint that asks for a user answer 422.
#
# Versions: Python 3.11.7, fastapi 0.165.0, fastapi-users 15.0.5. Runs without a network once they are installed.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check fastapi==0.165.0 fastapi-users==15.0.5
cd "$dir"
venv/bin/python - <<'PYTHON'
import asyncio
import inspect
import sys
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi_users.authentication import AuthenticationBackend, Authenticator, BearerTransport, Strategy

print("Python", sys.version.split()[0], "fastapi", version("fastapi"), "fastapi-users", version("fastapi-users"))


async def get_user_manager():
    return None


def status(app):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": "/me", "raw_path": b"/me", "query_string": b"", "root_path": "",
             "headers": [(b"authorization", b"Bearer x")], "server": ("localhost", 80), "client": ("localhost", 1)}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"]


def parameters(made_before):
    class Mine(Strategy):
        async def read_token(self, token, user_manager):
            return None

    before = str(inspect.signature(Mine))
    if made_before:
        Mine()
    backend = AuthenticationBackend("mine", BearerTransport("login"), Mine)
    current_user = Authenticator([backend], get_user_manager).current_user(optional=True)
    app = FastAPI()

    @app.get("/me")
    def me(user=Depends(current_user)):
        return {}

    document = app.openapi()["paths"]["/me"]["get"]
    required = [p["name"] for p in document.get("parameters", []) if p["required"]]
    answer = status(app)
    Mine()
    return before, str(inspect.signature(Mine)), required, answer


seen = {made: parameters(made) for made in (False, True)}
for made, (before, after, required, answer) in seen.items():
    print(f"an instance before the route: {made!s:5}  signature {before} then {after}, required: {required}, GET /me: {answer}")
expected = {
    False: ("(*args, **kwargs)", "()", ["args", "kwargs"], 422),
    True: ("(*args, **kwargs)", "()", [], 200),
}
if seen != expected:
    raise SystemExit("changed")
PYTHON
