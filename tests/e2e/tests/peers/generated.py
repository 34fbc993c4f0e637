"""Checks the daemon's OpenAPI document, compares the daemon's answers with it, and lets a client that
openapi-python-client generates talk to the daemon."""

import json
import os
import subprocess
import sys

import httpx
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

URL, KEY = os.environ["DAEMON_URL"], os.environ["DAEMON_KEY"]
DOCUMENT = json.load(open("openapi.json"))
SEND = {"user_id": "ann", "session_key": "user:ann:scout", "message": "Do it.", "task_title": "Work"}


def parts(schema):
    """The parts of each allOf, which are open."""
    if isinstance(schema, dict):
        yield from schema.get("allOf", [])
    for one in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []:
        yield from parts(one)


OPEN = {json.dumps(part) for part in parts(DOCUMENT)}
OPEN |= {json.dumps(DOCUMENT["components"]["schemas"][part["$ref"].split("/")[-1]]) for part in parts(DOCUMENT) if "$ref" in part}


def closed(schema):
    """The schema with every object closed whose fields are named, so that no answer has an unnamed one."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and json.dumps(schema) not in OPEN:
        made.setdefault("additionalProperties", False)
    return made


def schema_of(path, method, status):
    responses = DOCUMENT["paths"][path][method]["responses"]
    response = responses.get(str(status)) or responses[f"{status // 100}XX"]
    schema = response["content"]["application/json"]["schema"]
    components = {"components": closed(DOCUMENT["components"])}
    return {**closed(schema), **components}


def compare():
    http = httpx.Client(base_url=URL, headers={"X-Agent-Daemon-Key": KEY}, timeout=60)
    turn = {"role": "user", "content": "Hello."}
    calls = [
        ("get", path, path, None)
        for path in ["/livez", "/readyz", "/health", "/skills", "/tools", "/boot", "/usage", "/api/agents",
                     "/api/version", "/api/compatibility"]
    ]
    calls += [
        ("get", "/context", "/context?full=true&user_id=ann", None),
        ("post", "/api/agents/send", "/api/agents/send", SEND),
        ("post", "/api/agents/send", "/api/agents/send", {}),
        ("post", "/api/agents/can", "/api/agents/can", {"user_id": "ann", "role": "scout", "call": "create_task"}),
        ("post", "/compact", "/compact", {"messages": [turn, turn, turn]}),
        ("post", "/llm-task", "/llm-task", {"prompt": "Say so."}),
    ]
    compared, untrue = [], []
    for method, path, target, body in calls:
        response = http.request(method, target, json=body) if body is not None else http.request(method, target)
        compared.append(f"{method} {path} {response.status_code}")
        validator = Draft202012Validator(schema_of(path, method, response.status_code))
        untrue += [f"{compared[-1]}: {error.json_path}: {error.message}" for error in validator.iter_errors(response.json())]
    return compared, untrue


def client():
    generate = ["generate", "--path", "openapi.json", "--output-path", "wombat_client", "--meta", "none"]
    # Its formatter is beside it.
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    subprocess.run([sys.executable, "-m", "openapi_python_client", *generate], check=True, capture_output=True,
                   env={**os.environ, "PATH": path})
    sys.path.insert(0, os.getcwd())
    from wombat_client.api.agents import agents, send
    from wombat_client.client import AuthenticatedClient
    from wombat_client.models import AgentsShape, ErrorBody, RunAnswer, SendBody

    mine = AuthenticatedClient(base_url=URL, token=KEY, timeout=httpx.Timeout(60))
    roles = agents.sync(client=mine)
    answer = send.sync(client=mine, body=SendBody(**SEND))
    refused = send.sync(client=mine, body=SendBody(**{**SEND, "session_key": "scout"}))
    stranger = agents.sync(client=AuthenticatedClient(base_url=URL, token="wrong"))
    assert isinstance(roles, AgentsShape) and isinstance(answer, RunAnswer), (roles, answer)
    assert isinstance(refused, ErrorBody) and isinstance(stranger, ErrorBody), (refused, stranger)
    return {
        "roles": [agent.role for agent in roles.agents],
        "reply": answer.response,
        "total_tokens": answer.usage.total_tokens,
        "refused": refused.code,
        "stranger": stranger.code,
    }


OpenAPIV31SpecValidator(DOCUMENT).validate()
compared, untrue = compare()
print(json.dumps({"compared": compared, "untrue": untrue, "client": client()}))
