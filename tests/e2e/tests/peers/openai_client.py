"""The official `openai` package of PyPI against the daemon. One part of the round for each start."""

import json
import os
import sys
import time

import openai
import pydantic

OWN = json.loads(os.environ["WITH"])
BASE_URL = os.environ["DAEMON_URL"] + "/v1"
CLIENT = openai.OpenAI(base_url=BASE_URL, api_key=os.environ["DAEMON_KEY"])
SESSION = {"X-Wombat-Session": "Conversation 7"}


def ask(**more):
    question = {"model": "scout", "user": "ann", "messages": [{"role": "user", "content": "Do it."}]}
    question.update(more)
    return CLIENT.chat.completions.create(**question)


def failure(work):
    try:
        work()
    except openai.APIError as error:
        return {"kind": type(error).__name__, "code": error.code, "param": error.param, "type": error.type}
    return {"kind": "none"}


def models():
    stranger = openai.OpenAI(base_url=BASE_URL, api_key="wrong")
    return {
        "models": [model.id for model in CLIENT.models.list()],
        "one": CLIENT.models.retrieve("scout").id,
        "unknown": failure(lambda: CLIENT.models.retrieve("nobody")),
        "wrong_key": failure(lambda: stranger.models.list()),
    }


def whole():
    headers = dict(SESSION)
    if "key" in OWN:
        headers["Idempotency-Key"] = OWN["key"]
    if "resume" in OWN:
        headers["X-Wombat-Resume-Run-Key"] = OWN["resume"]
    answer = ask(extra_headers=headers)
    beside = answer.model_extra["wombat"]
    return {
        "text": answer.choices[0].message.content,
        "finish_reason": answer.choices[0].finish_reason,
        "total_tokens": answer.usage.total_tokens,
        "tools": [step["name"] for step in beside["steps"]],
        "status": beside["status"],
        "message_id": beside["message_id"],
        "run_key": beside.get("run_key"),
    }


def stream():
    seen = {"text": "", "chunks": 0}
    for chunk in ask(stream=True, stream_options={"include_usage": True}, extra_headers=SESSION):
        seen["chunks"] += 1
        if chunk.choices:
            seen["text"] += chunk.choices[0].delta.content or ""
            seen["finish_reason"] = chunk.choices[0].finish_reason or seen.get("finish_reason")
        if "wombat" in (chunk.model_extra or {}):
            seen["tools"] = [step["name"] for step in chunk.model_extra["wombat"]["steps"]]
        if chunk.usage:
            seen["total_tokens"] = chunk.usage.total_tokens
    return seen


def bad():
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    return {
        "no_user": failure(lambda: ask(user=openai.omit)),
        "no_messages": failure(lambda: ask(messages=None)),
        "own_tools": failure(lambda: ask(tools=[tool])),
        "an_image": failure(lambda: ask(messages=[{"role": "user", "content": image}])),
        "no_question": failure(lambda: ask(messages=[{"role": "assistant", "content": "Hi."}])),
        "no_role": failure(lambda: ask(model="nobody")),
    }


def failures():
    return {"whole": failure(ask), "stream": failure(lambda: list(ask(stream=True)))}


def leave():
    with ask(stream=True) as stream:
        next(iter(stream))
        while not os.path.exists(OWN["leave_at"]):
            time.sleep(0.02)
    return {"left": True}


def typed():
    class Bill(pydantic.BaseModel):
        sum: int

    question = {"model": "scout", "user": "ann", "messages": [{"role": "user", "content": "How much?"}]}
    answer = CLIENT.chat.completions.parse(**question, response_format=Bill)
    pieces = []
    with CLIENT.chat.completions.stream(**question, response_format=Bill) as events:
        for event in events:
            if event.type == "content.delta" and event.delta:
                pieces.append(event.delta)
        streamed = events.get_final_completion()
    never = failure(lambda: CLIENT.chat.completions.parse(**question, response_format=Bill))
    return {
        "whole": answer.choices[0].message.parsed.sum,
        "output": answer.model_extra["wombat"]["output"],
        "streamed": streamed.choices[0].message.parsed.sum,
        "pieces": pieces,
        "never": never,
    }


def files():
    def look(image):
        word = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,U29tZSB3b3Jkcy4="}}
        picture = {"type": "image_url", "image_url": {"url": image}}
        turn = {"role": "user", "content": [{"type": "text", "text": "Look."}, picture, word]}
        return [turn, {"role": "assistant", "content": "A cat."}, {"role": "user", "content": "And what more?"}]

    near = look(f"data:image/png;base64,{OWN['png']}")
    first, later = ask(messages=near[:1]), ask(messages=near)
    return {
        "first": first.model_extra["wombat"]["attachments"],
        "later": later.model_extra["wombat"]["attachments"],
        "far": failure(lambda: ask(messages=look("https://example.com/cat.png")[:1])),
    }


def asking():
    beside = ask(extra_headers=SESSION).model_extra["wombat"]
    return {"status": beside["status"], "asked": beside["tool_requests"]}


PARTS = [models, whole, stream, bad, failures, leave, typed, files, asking]
print(json.dumps({part.__name__: part for part in PARTS}[sys.argv[1]]()))
