"""The official `a2a-sdk` package of PyPI against the daemon. One part of the round for each start."""

import asyncio
import json
import os
import sys

import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.types import a2a_pb2 as t
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict, ParseDict

OWN = json.loads(os.environ["WITH"])
URL = os.environ["DAEMON_URL"]
BINDING = OWN.get("binding", "JSONRPC")


def http(user="ann", key=os.environ["DAEMON_KEY"]):
    return httpx.AsyncClient(headers={"authorization": f"Bearer {key}", "x-wombat-user": user}, timeout=60)


async def client(user="ann", role="scout", streaming=False, polling=False):
    connection = http(user)
    card = await A2ACardResolver(connection, f"{URL}/a2a/{role}").get_agent_card()
    config = ClientConfig(
        httpx_client=connection, supported_protocol_bindings=[BINDING], streaming=streaming, polling=polling
    )
    return ClientFactory(config).create(card)


def question(text="Do it.", **more):
    message = t.Message(message_id=more.pop("message_id", os.urandom(8).hex()), role=t.Role.ROLE_USER)
    message.parts.append(t.Part(text=text))
    for name in ("task_id", "context_id"):
        if more.get(name):
            setattr(message, name, more[name])
    if more.get("resume"):
        message.metadata.update({"resume_run_key": more["resume"]})
    return t.SendMessageRequest(message=message)


async def ask(to, request):
    return [MessageToDict(event) async for event in to.send_message(request)]


async def failure(work):
    try:
        seen = await work
        return {"kind": "none", "seen": str(seen)[:200]}
    except A2AError as error:
        return {"kind": type(error).__name__, "message": str(error)}
    except Exception as error:  # the SDK's own
        return {"kind": type(error).__name__, "message": str(error)}


async def card():
    async with http() as connection:
        first = await A2ACardResolver(connection, URL).get_agent_card()
        scout = await A2ACardResolver(connection, f"{URL}/a2a/scout").get_agent_card()
        nobody = await failure(A2ACardResolver(connection, f"{URL}/a2a/nobody").get_agent_card())
    async with http(key="wrong") as connection:
        stranger = await failure(A2ACardResolver(connection, URL).get_agent_card())
    return {
        "first": first.name,
        "skills": [skill.id for skill in scout.skills],
        "bindings": [one.protocol_binding for one in scout.supported_interfaces],
        "nobody": nobody,
        "stranger": stranger,
    }


async def whole():
    to = await client()
    [answer] = await ask(to, question(message_id=OWN.get("id", "m1"), context_id=OWN.get("task_id"), resume=OWN.get("resume")))
    return answer["task"]


async def typed():
    """Asks for JSON of a schema: whole, streamed, and from another reader."""
    to, live = await client(), await client(streaming=True)
    request = question("How much?")
    request.message.metadata.update({"output": OWN["output"]})
    [answer] = await ask(to, request)
    request = question("How much?", context_id=answer["task"]["contextId"])
    request.message.metadata.update({"output": OWN["output"]})
    request.configuration.accepted_output_modes.append("application/json")
    events = await ask(live, request)
    text = question("How much?")
    text.configuration.accepted_output_modes.append("application/json")
    pieces = [event["artifactUpdate"] for event in events if "artifactUpdate" in event]
    stored = MessageToDict(await to.get_task(t.GetTaskRequest(id=answer["task"]["id"])))
    return {
        "whole": answer["task"]["artifacts"][0]["parts"],
        "pieces": [[piece["artifact"]["parts"][0].get("text", ""), piece.get("append", False)] for piece in pieces],
        "last": pieces[-1]["artifact"]["parts"],
        "stored": stored["artifacts"][0]["parts"],
        "json_of_text": await failure(ask(to, text)),
    }


async def stream():
    to = await client(streaming=True)
    events = await ask(to, question(context_id=OWN["task_id"]))
    pieces = [event["artifactUpdate"] for event in events if "artifactUpdate" in event]
    states = [event["statusUpdate"]["status"] for event in events if "statusUpdate" in event]
    return {
        "first": list(events[0]),
        "pieces": [piece["artifact"]["parts"][0]["text"] for piece in pieces],
        "appended": [piece.get("append", False) for piece in pieces],
        "notes": [state.get("message", {}).get("parts", [{}])[0].get("text") for state in states],
        "states": [state["state"] for state in states],
    }


async def bad():
    to, other = await client(streaming=True), await client(user="bob")
    empty = question()
    del empty.message.parts[:]
    picture = question()
    picture.message.parts.append(t.Part(url="http://h/x.png"))
    agent = question()
    agent.message.role = t.Role.ROLE_AGENT
    task = OWN["task_id"]
    def push(by=to, url="https://1.1.1.1/", **more):
        return failure(by.create_task_push_notification_config(t.TaskPushNotificationConfig(task_id=task, url=url, **more)))

    none = t.GetTaskPushNotificationConfigRequest(task_id=task, id="none")
    found = {
        "no_text": failure(ask(to, empty)),
        "a_picture": failure(ask(to, picture)),
        "an_agent": failure(ask(to, agent)),
        "no_task": failure(to.get_task(t.GetTaskRequest(id="none"))),
        "dots": failure(to.get_task(t.GetTaskRequest(id="%2e%2e"))),
        "ask_in_no_task": failure(ask(to, question(task_id="none"))),
        "anothers": failure(other.get_task(t.GetTaskRequest(id=task))),
        "ask_in_anothers": failure(ask(other, question(task_id=task))),
        "cancel_anothers": failure(other.cancel_task(t.CancelTaskRequest(id=task))),
        "ask_what_has_ended": failure(ask(to, question(task_id=task))),
        "another_context": failure(ask(to, question(task_id=task, context_id="other"))),
        "cancel_what_has_ended": failure(to.cancel_task(t.CancelTaskRequest(id=task))),
        "push": push(url="http://no-such-host.invalid/"),
        "push_inside": push(url="http://127.0.0.1:9/"),
        "push_with_token": push(token="secret"),
        "push_with_credentials": push(authentication=t.AuthenticationInfo(scheme="Bearer", credentials="secret")),
        "push_in_anothers": push(by=other),
        "no_push": failure(to.get_task_push_notification_config(none)),
        "subscribe_to_what_has_ended": failure(collect(to.subscribe(t.SubscribeToTaskRequest(id=task)))),
    }
    return {name: await one for name, one in found.items()}


async def answering():
    """The agent asks: a word that fits nothing, then the answer, twice."""
    to = await client()
    [first] = await ask(to, question("Paint it."))
    task = first["task"]["id"]
    misfit = await failure(ask(to, question("green", task_id=task)))
    [answer] = await ask(to, question(" RED ", task_id=task, message_id="a1"))
    [again] = await ask(to, question(" RED ", task_id=task, message_id="a1"))
    stored = MessageToDict(await to.get_task(t.GetTaskRequest(id=task)))
    return {
        "first": first["task"],
        "misfit": misfit,
        "answer": answer["task"],
        "again": again["task"],
        "history": [turn["parts"][0]["text"] for turn in stored["history"]],
    }


async def files():
    to = await client()
    request = question("Look.")
    request.message.parts.append(t.Part(raw=bytes.fromhex(OWN["png"]), filename="cat.png", media_type="image/png"))
    request.message.parts.append(t.Part(raw=b"Some words.", filename="a.txt", media_type="text/plain"))
    [answer] = await ask(to, request)
    far = question("Look.")
    far.message.parts.append(t.Part(url="https://example.com/cat.png", media_type="image/png"))
    return {"attachments": answer["task"]["metadata"]["attachments"], "far": await failure(ask(to, far))}


async def push():
    """Notifications of a task: asked for with the message, or before it for a task that is there."""
    to, task = await client(polling=True), OWN.get("task_id")

    def config(url):
        return t.TaskPushNotificationConfig(task_id=task, url=url)

    made = [await to.create_task_push_notification_config(config(url)) for url in OWN.get("more", [])]
    for one in made if OWN.get("delete") else []:
        gone = t.DeleteTaskPushNotificationConfigRequest(task_id=task, id=one.id)
        await to.delete_task_push_notification_config(gone)
    request = question("Tell me.", message_id=OWN["id"], context_id=task)
    if OWN.get("url"):
        mine = t.TaskPushNotificationConfig(id="mine", url=OWN["url"])
        request.configuration.task_push_notification_config.CopyFrom(mine)
    [answer] = await ask(to, request)
    task = answer["task"]["id"]
    listed = await to.list_task_push_notification_configs(t.ListTaskPushNotificationConfigsRequest(task_id=task))
    first = t.GetTaskPushNotificationConfigRequest(task_id=task, id=listed.configs[0].id)
    return {
        "task": task,
        "made": [MessageToDict(one) for one in made],
        "listed": [one.url for one in listed.configs],
        "one": MessageToDict(await to.get_task_push_notification_config(first)),
    }


async def read_pushed():
    read = [ParseDict(body, t.StreamResponse()) for body in OWN["all"]]
    return {"kinds": [one.WhichOneof("payload") for one in read]}


async def collect(events):
    return [MessageToDict(event) async for event in events]


async def tasks():
    to, other = await client(), await client(user="bob")
    one = MessageToDict(await to.get_task(t.GetTaskRequest(id=OWN["task_id"])))
    everything = await to.list_tasks(t.ListTasksRequest(include_artifacts=True))
    paged, token = [], ""
    while True:
        page = await to.list_tasks(t.ListTasksRequest(page_size=1, page_token=token))
        paged += [task.id for task in page.tasks]
        token = page.next_page_token
        if not token:
            break
    none = await other.list_tasks(t.ListTasksRequest())
    waiting = await to.list_tasks(t.ListTasksRequest(status=t.TaskState.TASK_STATE_INPUT_REQUIRED))
    return {
        "one": one,
        "all": {task.metadata["title"]: t.TaskState.Name(task.status.state) for task in everything.tasks},
        "replies": [task.artifacts[0].parts[0].text for task in everything.tasks if task.artifacts],
        "paged": len(set(paged)),
        "strangers": len(none.tasks),
        "waiting": [task.metadata["run_key"] for task in waiting.tasks],
    }


async def lists():
    """A context that the client makes up, and the order, pages and filters of lists."""
    to = await client()
    made = [await ask(to, question(context_id=f"talk {n}")) for n in range(3)]
    again = await ask(to, question(context_id="talk 0"))
    tasks = [answer["task"] for [answer] in [*made, again]]

    async def listed(**more):
        answer = await to.list_tasks(t.ListTasksRequest(**more))
        return [task.context_id for task in answer.tasks], answer.total_size, answer.next_page_token

    everything, total, end = await listed()
    first, first_total, token = await listed(page_size=2)
    rest, _, _ = await listed(page_size=2, page_token=token)
    page = await to.list_tasks(t.ListTasksRequest(page_size=1))
    newest = page.tasks[0].status.timestamp
    return {
        "contexts": [task["contextId"] for task in tasks],
        "same_task": tasks[0]["id"] == tasks[3]["id"],
        "has_message": ["message" in task["status"] for task in tasks],
        "all": everything,
        "totals": [total, first_total],
        "paged": first + rest,
        "end": end,
        "since_newest": (await listed(status_timestamp_after=newest))[0],
        "one": (await listed(context_id="talk 1"))[0],
        "working": (await listed(status=t.TaskState.TASK_STATE_WORKING))[0],
        "other_page": await failure(to.list_tasks(t.ListTasksRequest(page_token="x"))),
    }


async def waits():
    """Whoever listens to a task that waits for an answer hears how it goes on."""
    to, elsewhere = await client(), await client(streaming=True)
    [asked] = await ask(to, question("Paint it."))
    task, seen = asked["task"]["id"], []

    async def follow():
        async for event in elsewhere.subscribe(t.SubscribeToTaskRequest(id=task)):
            seen.append(MessageToDict(event))

    following = asyncio.create_task(follow())
    while not seen:
        await asyncio.sleep(0.02)
    await ask(to, question("red", task_id=task))
    await following
    states = [event["statusUpdate"]["status"]["state"] for event in seen if "statusUpdate" in event]
    return {"first": seen[0]["task"]["status"]["state"], "states": states}


async def cancel():
    """Begins what the model never answers, follows it from elsewhere, and cancels it."""
    to, elsewhere = await client(polling=True), await client(streaming=True)
    [begun] = await ask(to, question(context_id=OWN["task_id"]))
    seen = []

    async def follow():
        async for event in elsewhere.subscribe(t.SubscribeToTaskRequest(id=OWN["task_id"])):
            seen.append(MessageToDict(event))

    following = asyncio.create_task(follow())
    while not seen:
        await asyncio.sleep(0.02)
    live = await to.get_task(t.GetTaskRequest(id=OWN["task_id"]))
    cancelled = await to.cancel_task(t.CancelTaskRequest(id=OWN["task_id"]))
    await following
    return {
        "begun": begun["task"]["status"]["state"],
        "live": t.TaskState.Name(live.status.state),
        "first": list(seen[0]),
        "last": seen[-1]["statusUpdate"]["status"]["state"],
        "cancelled": t.TaskState.Name(cancelled.status.state),
    }


PARTS = [lists, waits, card, whole, typed, stream, bad, tasks, cancel, answering, files, push, read_pushed]
print(json.dumps(asyncio.run({part.__name__: part for part in PARTS}[sys.argv[1]]())))
