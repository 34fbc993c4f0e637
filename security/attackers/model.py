"""A model that obeys everything: what any text in front of it asks for, it does.

`CALL tool arguments;` makes it call a tool, `SAY text;` makes it say something. Arguments and texts are in
Base64, so that no quoting on the way changes an attack. It forgets nothing and judges nothing.
"""

import base64
import json
import re
from typing import Any

from wire import Handler, b64, serve

CALL = re.compile(r"CALL ([^\s;]+) ([A-Za-z0-9_-]+);")
SAY = re.compile(r"SAY ([A-Za-z0-9_-]+);")


def ask(tool: str, **arguments: Any) -> str:
    """A text that asks for a call."""
    return f"CALL {tool} {b64(json.dumps(arguments).encode())};"


def backend(method: str, path: str, body: Any = None, **more: Any) -> str:
    """A text that asks for a call of the application."""
    return ask("call_backend", method=method, path=path, **({} if body is None else {"body": body}), **more)


def say(text: str) -> str:
    return f"SAY {b64(text.encode())};"


def plain(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def content(message: dict[str, Any]) -> str:
    given = message.get("content") or ""
    return given if isinstance(given, str) else "".join(part.get("text", "") for part in given)


class Model:
    """Serves Chat Completions, and keeps what it was sent."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.port = serve(self)

    def answer(self, request: Handler, body: bytes) -> None:
        asked = json.loads(body or b"{}")
        self.requests.append(asked)
        self.texts.append(json.dumps(asked, ensure_ascii=False))
        messages = asked.get("messages", [])
        turns = len([message for message in messages if message["role"] == "assistant"])
        newest = []
        for message in reversed(messages):
            if message["role"] == "assistant":
                break
            newest.append(content(message))
        if not any(message["role"] == "tool" for message in messages[-1:]):
            # A new run: the prompt and the tools' descriptions speak, too.
            newest += [content(message) for message in messages if message["role"] == "system"]
            newest.append(json.dumps(asked.get("tools", []), ensure_ascii=False))
        calls = list(dict.fromkeys(found for text in newest for found in CALL.findall(text)))
        if calls and asked.get("tools"):
            made = [
                {"id": f"call_{turns}_{n}", "type": "function", "function": {"name": name, "arguments": plain(arguments)}}
                for n, (name, arguments) in enumerate(calls)
            ]
            return self.say(request, {"role": "assistant", "content": None, "tool_calls": made}, "tool_calls")
        words = [plain(found) for message in messages for found in SAY.findall(content(message))]
        self.say(request, {"role": "assistant", "content": words[-1] if words else "Done."}, "stop")

    def say(self, request: Handler, message: dict[str, Any], finish: str) -> None:
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        request.say(200, {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})

    def saw(self, text: str) -> bool:
        return any(text in seen for seen in self.texts)

    def fence_ends(self, mark: str) -> list[str]:
        """The ends of fences after a mark, in the first turn that holds it; the last one is the daemon's."""
        turns = [content(turn) for sent in self.requests for turn in sent["messages"]]
        turn = next(turn for turn in turns if mark in turn)
        return re.findall(r"</untrusted-data[^>]*>", turn.split(mark, 1)[1])

    def offered(self) -> list[str]:
        """The tools that it was offered last."""
        return [tool["function"]["name"] for tool in (self.requests or [{}])[-1].get("tools") or []]
