"""Another user of the same application: bob, who comes by every door as himself, and wants what is ann's."""

import http.client
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlencode

from model import ask, backend, say
from score import attempt
from stage import Stage, until
from wire import INTERNAL, MC, call, listen, token

WHO = "other tenant"
PROXY = "x-forwarded-user"


def stage(programs: Path, folder: Path) -> Stage:
    stage = Stage(
        programs,
        folder,
        MC_BOARD_AUTH_HEADER=PROXY,
        MC_BOARD_TRUSTED_PROXIES="127.0.0.1",
    )
    stage.skill("POST /app/pay", "GET /app/list")
    stage.roles(scout={"approval": ["POST /app/pay"]})
    stage.daemon = stage.start_daemon()
    return stage


def mcp(s: Stage, user: str, method: str, params: Any, id: Any = 1) -> Any:
    body = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
    return s.http("POST", "/mcp", body, {"x-wombat-user": user, "accept": "application/json, text/event-stream"})


def a2a(s: Stage, user: str, method: str, params: Any) -> Any:
    return s.http("POST", "/a2a/scout", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, {"x-wombat-user": user})


def ag_ui(s: Stage, user: str, thread: str, text: str) -> Any:
    message = {"id": "m", "role": "user", "content": text}
    body = {"threadId": thread, "runId": s.mark(), "messages": [message], "tools": [], "context": [], "state": {}, "forwardedProps": {}}
    return s.http("POST", "/ag-ui/scout", body, {"x-wombat-user": user})


def page(s: Stage, user: str, path: str) -> Any:
    return call(s.mission_control.port, "GET", path, None, {PROXY: user})


def owned(s: Stage) -> tuple[str, str]:
    """A task of ann's with a message in it, and the mark of both."""
    mark = s.mark()
    task = s.task("ann", f"Task {mark}")
    s.person("ann", "POST", "/messages", {"task_id": task, "content": f"Message {mark}", "actor_type": "user"})
    return task, mark


@attempt(WHO, "read another's task and thread over MCP, A2A and AG-UI")
def _(s: Stage) -> Any:
    task, mark = owned(s)

    def read(user: str) -> str:
        uris = [f"mission-control://tasks/{task}", f"mission-control://tasks/{task}/messages"]
        answers = [mcp(s, user, "resources/read", {"uri": uri}) for uri in uris] + [mcp(s, user, "resources/list", {})]
        answers += [a2a(s, user, "GetTask", {"id": task}), a2a(s, user, "ListTasks", {}), a2a(s, user, "SubscribeToTask", {"id": task})]
        before = len(s.model.texts)
        answers += [ag_ui(s, user, task, "Hello")]
        return "".join(answer.text for answer in answers) + "".join(s.model.texts[before:])

    return mark in read("ann"), mark in read("bob")


@attempt(WHO, "go on with another's task over A2A, AG-UI, MCP and OpenAI")
def _(s: Stage) -> Any:
    task, _ = owned(s)
    bad = s.mark()
    message = {"messageId": s.mark(), "taskId": task, "role": "ROLE_USER", "parts": [{"text": bad}]}
    a2a(s, "bob", "SendMessage", {"message": message})
    ag_ui(s, "bob", task, bad)
    mcp(s, "bob", "tools/call", {"name": "ask_scout", "arguments": {"message": bad, "task_id": task}})
    s.http("POST", "/v1/chat/completions", {"model": "scout", "user": "bob", "messages": [{"role": "user", "content": bad}]}, {"x-wombat-task-id": task})
    s.send(bad, user="bob", task_id=task, task_title=None)
    thread = lambda: s.person("ann", "GET", f"/messages?task_id={task}&limit=200")["items"]
    stolen = len(thread()) != 1
    s.send("Hello", user="ann", task_id=task, task_title=None)
    # Her own question and its reply are new.
    return len(thread()) == 3, stolen


@attempt(WHO, "get another's reply by the same idempotency key")
def _(s: Stage) -> Any:
    mark, key = s.mark(), s.mark()
    s.send(say(f"Secret {mark}"), user="ann", idempotency_key=key, task_title="Same")
    mine = s.send(say(f"Secret {mark}"), user="ann", idempotency_key=key, task_title="Same")
    other = s.send("Hello", user="bob", idempotency_key=key, task_title="Same")
    return mine["replayed"] and mark in mine.text, mark in other.text or other["replayed"]


@attempt(WHO, "resume another's run, and have its waiting call made")
def _(s: Stage) -> Any:
    mark = s.mark()
    waits = s.send(backend("POST", "/app/pay", {"n": mark}))
    s.decide(waits)
    s.resume(waits, "bob")
    a2a(s, "bob", "SendMessage", {"message": {"messageId": s.mark(), "role": "ROLE_USER", "parts": [{"text": "x"}], "metadata": {"resume_run_key": waits["run_key"]}}})
    s.http("POST", "/v1/chat/completions", {"model": "scout", "user": "bob", "messages": [{"role": "user", "content": "x"}]}, {"x-wombat-resume-run-key": waits["run_key"]})
    mcp(s, "bob", "tools/call", {"name": "ask_scout", "arguments": {"resume_run_key": waits["run_key"]}})
    stolen = s.application.reached(mark)[:]
    s.resume(waits)
    return s.application.reached(mark, user="ann"), stolen


@attempt(WHO, "cancel another's call over MCP, by its number")
def _(s: Stage) -> Any:
    def cancelled_by(user: str, id: int) -> bool:
        gate, out, mark = Event(), [], s.mark()
        s.application.answers[f"/app/list?{mark}"] = lambda hit: gate.wait(8) and {"ok": True}
        text = ask("call_backend", method="GET", path=f"/app/list?{mark}")
        ann = Thread(target=lambda: out.append(mcp(s, "ann", "tools/call", {"name": "ask_scout", "arguments": {"message": text}}, id)), daemon=True)
        ann.start()
        until(lambda: s.application.reached(mark), 5)
        mcp(s, user, "notifications/cancelled", {"requestId": id, "reason": "evil"}, None)
        until(lambda: out, 2)
        gate.set()
        ann.join(10)
        return "Done." not in out[0].text

    return cancelled_by("ann", 7), cancelled_by("bob", 8)


@attempt(WHO, "cancel or follow another's run over A2A, by its task")
def _(s: Stage) -> Any:
    def cancelled_by(user: str) -> tuple[bool, bool]:
        gate, out, mark = Event(), [], s.mark()
        task = s.task("ann", f"Task {mark}")
        s.application.answers[f"/app/list?{mark}"] = lambda hit: gate.wait(8) and {"ok": True}
        text = ask("call_backend", method="GET", path=f"/app/list?{mark}") + say(f"Secret {mark}")
        message = {"messageId": s.mark(), "taskId": task, "role": "ROLE_USER", "parts": [{"text": text}]}
        ann = Thread(target=lambda: out.append(a2a(s, "ann", "SendMessage", {"message": message})), daemon=True)
        ann.start()
        until(lambda: s.application.reached(mark), 5)
        read = [a2a(s, user, method, {"id": task}).text for method in ("CancelTask", "GetTask")]
        read += [] if user == "ann" else [a2a(s, user, "SubscribeToTask", {"id": task}).text]
        until(lambda: out, 1)
        gate.set()
        ann.join(10)
        return f"Secret {mark}" not in out[0].text, any(mark in text for text in read)

    works, (stopped, followed) = cancelled_by("ann"), cancelled_by("bob")
    return all(works), stopped or followed


@attempt(WHO, "be another user by a second `X-Wombat-User`, or by bytes that fall together")
def _(s: Stage) -> Any:
    good, bad = s.mark(), s.mark()
    rpc = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask_scout", "arguments": {"message": bad}}}
    for values in ([b"bob", b"ann"], [b"ann", b"bob"], [b"ann", b"ann"], [b"m\xfcller"], [b"m\xf6ller"], [b"ann\xc0\xaf"], [b"ann\xff"]):
        headers = [("x-wombat-user", value) for value in values]
        s.http("POST", "/mcp", rpc, [*headers, ("accept", "application/json, text/event-stream")])
        s.http("POST", "/ag-ui/scout", {"threadId": "t", "runId": s.mark(), "messages": [{"id": "m", "role": "user", "content": bad}], "tools": [], "context": [], "state": {}, "forwardedProps": {}}, headers)
        s.http("POST", "/a2a/scout", {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": {"messageId": s.mark(), "role": "ROLE_USER", "parts": [{"text": bad}]}}}, headers)
    mcp(s, "müller", "tools/call", {"name": "ask_scout", "arguments": {"message": good}})
    _, mark = owned(s)
    spaces = [space for space in "\u00a0\u2003\u3000\u200b\ufeff" if mark in mcp(s, f"ann{space}", "resources/list", {}).text]
    return s.model.saw(good), s.model.saw(bad) or spaces


@attempt(WHO, "be named twice by a proxy, or in bytes that fall together, on the page")
def _(s: Stage) -> Any:
    _, mark = owned(s)
    stolen = []
    spaces = [[f"ann{space}".encode()] for space in ("\u00a0", "\u3000", "\u200b", "\ufeff")]
    for values in ([b"bob", b"ann"], [b"ann", b"bob"], [b"ann\xff"], [b"ann,bob"], [b"ANN"], *spaces):
        answer = call(s.mission_control.port, "GET", "/", None, [(PROXY, value) for value in values])
        stolen += [values] if mark in answer.text else []
    behalf = call(s.mission_control.port, "GET", f"{MC}/tasks", None, [("x-internal-token", INTERNAL), ("x-on-behalf-of", "bob"), ("x-on-behalf-of", "ann")])
    return mark in page(s, "ann", "/?user=ann").text, stolen or mark in behalf.text


@attempt(WHO, "see another's tasks, runs, documents and events on the page behind a proxy")
def _(s: Stage) -> Any:
    task, mark = owned(s)
    waits = s.send(f"Pay {mark} " + backend("POST", "/app/pay", {"n": mark}))
    document = s.agent(token("ann", "scout"), "POST", "/documents", {"title": mark, "content": mark})["id"]
    paths = ["/", f"/tasks/{task}", f"/documents/{document}", f"/runs/{waits['run_key']}"]
    shown = lambda user, whose: [path for path in paths if mark in page(s, user, f"{path}?user={whose}").text]
    heard: list[str] = []
    listener = Thread(target=lambda: listen(s.mission_control.port, "/live?user=ann", {PROXY: "bob"}, heard, 2), daemon=True)
    listener.start()
    until(lambda: heard, 2)
    s.task("ann", mark)
    listener.join(3)
    return len(shown("ann", "ann")) >= 3, shown("bob", "ann") + shown("bob", "bob") + [line for line in heard if "task" in line]


def form(s: Stage, who: str, path: str, **fields: str) -> Any:
    own = page(s, who, f"/?user={who}").text.split('name="token" value="', 1)
    own_token = own[1].split('"', 1)[0] if len(own) > 1 else ""
    body = urlencode({"token": own_token, **fields}).encode()
    return call(s.mission_control.port, "POST", path, body, {PROXY: who, "content-type": "application/x-www-form-urlencoded"})


@attempt(WHO, "decide, write and cancel in another's name on the page behind a proxy")
def _(s: Stage) -> Any:
    mark = s.mark()
    waits = s.send(backend("POST", "/app/pay", {"n": mark}))
    one, key = waits["tool_requests"][0]["id"], waits["run_key"]
    for whose in ("ann", "bob"):
        form(s, "bob", "/decide", user=whose, id=one, decision="approved")
        form(s, "bob", "/cancel", user=whose, id=key)
    form(s, "bob", "/write", user="ann", role="scout", text=f"forged {mark}")
    state = s.person("ann", "GET", f"/tool-requests/{one}")["status"]
    stolen = state != "pending" or f"forged {mark}" in s.stored("ann")
    form(s, "ann", "/decide", user="ann", id=one, decision="denied")
    return s.person("ann", "GET", f"/tool-requests/{one}")["status"] == "denied" or stolen, stolen


@attempt(WHO, "find another's data in one's own prompt, while both run at once")
def _(s: Stage) -> Any:
    marks = {user: s.mark() for user in ("ann", "bob")}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: s.send(f"I am {marks[('ann', 'bob')[n % 2]]}", ("ann", "bob")[n % 2], task_title="Same"), range(16)))
    both = [text for text in s.model.texts if all(mark in text for mark in marks.values())]
    return all(s.model.saw(mark) for mark in marks.values()), both


@attempt(WHO, "list another's tasks through one's own agent")
def _(s: Stage) -> Any:
    _, mark = owned(s)
    answers = []
    for user in ("ann", "bob"):
        before = len(s.model.texts)
        s.send(ask("list_tasks", user_id="ann") + ask("list_tasks"), user=user)
        answers.append(mark in "".join(s.model.texts[before:]))
    return tuple(answers)


@attempt(WHO, "wake another's agent, by a mention or a notification of one's own")
def _(s: Stage) -> Any:
    good, bad = s.mark(), s.mark()
    own = s.task("bob", "Mine")
    s.person("bob", "POST", "/messages", {"task_id": own, "actor_type": "user", "content": f"@scout @ann:scout user:ann:scout {bad}"})
    agent = token("bob", "scout")
    for session in ("user:ann:scout", "user:bob:scout"):
        s.agent(agent, "POST", "/notifications", {"user_id": "ann", "session_key": session, "content": bad})
    theirs = bad in s.person("ann", "GET", "/notifications?limit=200").text
    s.service("POST", "/notifications", {"user_id": "ann", "session_key": "user:ann:scout", "content": good})
    return good in s.person("ann", "GET", "/notifications?limit=200").text, theirs


@attempt(WHO, "take all places for events, so that nobody else hears any")
def _(s: Stage) -> Any:
    bob, open_streams = {"x-agent-token": token("bob", "scout")}, []
    try:
        for _ in range(1100):
            connection = http.client.HTTPConnection("127.0.0.1", s.mission_control.port, timeout=10)
            connection.request("GET", f"{MC}/events", headers=bob)
            open_streams.append(connection)
            if connection.getresponse().status != 200:
                break
        heard: list[str] = []
        listen(s.mission_control.port, f"{MC}/events", {"x-agent-token": token("ann", "scout")}, heard, 0.5)
    finally:
        for connection in open_streams:
            connection.close()
    return len(open_streams) > 4, heard[:1] != ["200"]


@attempt(WHO, "lock others out of the page, by wrong passwords")
def _(s: Stage) -> Any:
    port = s.backend("locked", MC_BOARD_PASSWORD="correct-horse").port
    form = {"content-type": "application/x-www-form-urlencoded"}
    login = lambda word, source: call(port, "POST", "/login", f"password={word}".encode(), form, source=source).status
    wrong = [login("wrong", "127.0.0.7") for _ in range(30)]
    return 429 in wrong and login("correct-horse", "127.0.0.7") == 429, login("correct-horse", "127.0.0.8") != 303


@attempt(WHO, "fill another's lists so that they cannot be read")
def _(s: Stage) -> Any:
    bob = token("bob", "scout")
    task = s.task("bob", "Large")
    for _ in range(8):
        s.agent(bob, "POST", "/messages", {"task_id": task, "content": "x" * 900_000})
    mine = s.agent(bob, "GET", f"/messages?task_id={task}&limit=200")
    _, mark = owned(s)
    return mark in s.agent(token("ann", "scout"), "GET", "/tasks?limit=200").text, len(mine.text) > (6 << 20)
