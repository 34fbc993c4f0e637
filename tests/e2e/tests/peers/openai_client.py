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


def responses():
    """As the newest clients call by default: no user in the body, and with state that nobody keeps."""
    client = CLIENT.with_options(default_headers={"X-Wombat-User": "ann"})

    class Bill(pydantic.BaseModel):
        sum: int

    def respond(**more):
        return client.responses.create(model="scout", input="Do it.", **more)

    first = respond(instructions="Be brief.")
    with client.responses.stream(model="scout", input=[*first.output, {"role": "user", "content": "Go on."}]) as events:
        types = [event.type for event in events]
        streamed = events.get_final_response()
    typed = client.responses.parse(model="scout", input="How much?", text_format=Bill)
    with client.responses.stream(model="scout", input="How much?", text_format=Bill) as events:
        typed_stream = events.get_final_response()
    failed = [event for event in respond(stream=True) if event.type == "response.failed"]
    return {
        "first": [first.output_text, first.status, first.usage.total_tokens, first.model_extra["wombat"]["status"]],
        "types": types,
        "streamed": streamed.output_text,
        "reply": streamed.output[-1].content[0].text,
        "tools": [step["name"] for step in streamed.model_extra["wombat"]["steps"]],
        "typed": typed.output_parsed.sum,
        "typed_stream": typed_stream.output_parsed.sum,
        "failed": failed[0].response.error.code,
        "whole_failed": failure(respond),
        "kept": failure(lambda: respond(previous_response_id=first.id)),
        "own_tools": failure(lambda: respond(tools=[{"type": "web_search"}])),
        "retrieved": failure(lambda: client.responses.retrieve(first.id)),
        "no_user": failure(lambda: CLIENT.responses.create(model="scout", input="Do it.")),
        "other_user": failure(lambda: respond(user="bob")),
        "no_role": failure(lambda: client.responses.create(model="nobody", input="Do it.")),
        "embedded": failure(lambda: client.embeddings.create(model="scout", input="x")),
    }


def records():
    """A conversation with calls of tools that are the client's own."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "A cat."},
        {"role": "assistant", "content": "I see a cat."},
        {"role": "user", "content": "Sure?"},
    ]
    headers = {"X-Wombat-User": "ann"}
    answer = CLIENT.chat.completions.create(model="scout", messages=turns, extra_headers=headers)
    return {"text": answer.choices[0].message.content}


PARTS = [responses, records, models, whole, stream, bad, failures, leave, typed, files, asking]
print(json.dumps({part.__name__: part for part in PARTS}[sys.argv[1]]()))
