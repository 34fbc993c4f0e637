"""Whoever has stolen the token of one agent (ann's scout), and calls the backend with it."""

import json
import os
import time
from pathlib import Path
from threading import Thread
from typing import Any

from model import backend
from score import attempt
from stage import Application, Stage, until
from wire import INTERNAL, MC, SECRET, b64, call, listen, token

WHO = "stolen agent token"


def stage(programs: Path, folder: Path) -> Stage:
    stage = Stage(programs, folder, MC_LEAD_ROLES="lead")
    stage.skill("POST /app/pay", "POST /app/notes/{id}", "POST /app/orders/refund")
    rules = {"approval": ["POST /app/pay"], "deny": ["POST /app/orders/refund"]}
    stage.roles(scout=rules, clerk={"approval": ["POST /app/pay"]}, lead={})
    stage.daemon = stage.start_daemon()
    stage.stolen = token("ann", "scout")
    return stage


def steal(s: Stage, method: str, path: str, body: Any = None) -> Any:
    return s.agent(s.stolen, method, path, body)


def waiting(s: Stage, user: str, role: str, mark: str, **more: Any) -> Any:
    return s.send(backend("POST", "/app/pay", {"n": mark}), user, role, **more)


@attempt(WHO, "read another user's task, thread, document, run and tool request")
def _(s: Stage) -> Any:
    mark = s.mark()
    waits = waiting(s, "bob", "scout", mark)
    task = s.task("bob", f"Task {mark}")
    bob = token("bob", "scout")
    document = s.agent(bob, "POST", "/documents", {"title": mark, "content": mark, "task_id": task})["id"]
    paths = [f"/tasks/{task}", f"/messages?task_id={task}", f"/documents/{document}", f"/documents?task_id={task}", "/tasks?limit=200"]
    paths += [f"/runs/{waits['run_key']}", f"/tool-requests/{waits['tool_requests'][0]['id']}", "/tool-requests", f"/tasks?title=Task {mark}".replace(" ", "%20")]
    mine = [path for path in paths if mark in s.agent(bob, "GET", path).text]
    return len(mine) >= 5, [path for path in paths if mark in steal(s, "GET", path).text]


@attempt(WHO, "write to another user's task, thread, run and sessions")
def _(s: Stage) -> Any:
    mark, key = s.mark(), os.urandom(32).hex()
    task = s.task("bob", "Work")

    def write(agent: str) -> None:
        s.agent(agent, "PATCH", f"/tasks/{task}", {"title": f"Title {mark}"})
        s.agent(agent, "POST", "/messages", {"task_id": task, "content": f"Message {mark}"})
        s.agent(agent, "POST", "/documents", {"task_id": task, "title": f"Document {mark}", "content": "x"})

    write(s.stolen)
    run = steal(s, "PUT", f"/runs/{key}", {"session_key": "user:bob:scout", "task_id": task, "status": "running"})
    lease = steal(s, "POST", "/sessions/lease", {"session_key": "user:bob:scout", "task_id": task, "holder": "x", "ttl_secs": 60})
    stolen = mark in s.stored("bob") or run.status == 200 or lease.status == 200
    write(token("bob", "scout"))
    return s.stored("bob").count(mark) >= 3, stolen


@attempt(WHO, "decide a tool request as if a person had")
def _(s: Stage) -> Any:
    waits = waiting(s, "ann", "scout", s.mark())
    path = f"/tool-requests/{waits['tool_requests'][0]['id']}"
    steal(s, "PATCH", path, {"status": "approved"})
    for headers in ({"x-on-behalf-of": "ann"}, {"x-internal-token": s.stolen, "x-on-behalf-of": "ann"}):
        call(s.mission_control.port, "PATCH", MC + path, {"status": "approved"}, {"x-agent-token": s.stolen, **headers})
    before = steal(s, "GET", path)["status"]
    return s.decide(waits)[0]["status"] == "approved", before != "pending"


@attempt(WHO, "raise the user's budget")
def _(s: Stage) -> Any:
    body = {"user_id": "ann", "limit_usd": 999, "period": "month"}
    steal(s, "PUT", "/budget", body)
    before = s.person("ann", "GET", "/budget")["limit_usd"]
    s.service("PUT", "/budget", {**body, "limit_usd": 998})
    return s.person("ann", "GET", "/budget")["limit_usd"] == 998, before == 999


@attempt(WHO, "take deliveries, mark them delivered, create notifications")
def _(s: Stage) -> Any:
    mark = s.mark()
    body = {"user_id": "ann", "session_key": "user:ann:clerk", "content": mark}
    stolen = steal(s, "POST", "/notifications", body).status == 200
    note = s.service("POST", "/notifications", body)["id"]
    stolen |= mark in steal(s, "POST", "/dispatch/undelivered", {}).text
    steal(s, "POST", f"/dispatch/notifications/{note}/deliver?user_id=ann")
    return mark in s.service("POST", "/dispatch/undelivered", {}).text, stolen


@attempt(WHO, "change its claims: user, role, lifetime, algorithm")
def _(s: Stage) -> Any:
    mark = s.mark()
    s.task("bob", mark)
    s.task("ann", mark)
    head, body, signature = s.stolen.split(".")
    forged = token("bob", "scout", secret="guessed" * 6).rsplit(".", 1)[0]
    none = b64(b'{"alg":"none","typ":"JWT"}')
    tokens = [f"{forged}.{signature}", f"{none}.{body}.", f"{none}.{forged.split('.')[1]}.{signature}"]
    tokens += [token("ann", "scout", head={"alg": "HS512", "typ": "JWT"}), token("ann", "scout", exp=int(time.time()) - 300)]
    tokens += [token("ann", "scout", iss="other"), token("ann", "scout", type="person"), token("ann", "lead", secret=SECRET[:-1])]
    return mark in steal(s, "GET", "/tasks").text, [one[:20] for one in tokens if mark in s.agent(one, "GET", "/tasks").text]


@attempt(WHO, "hear another user's events")
def _(s: Stage) -> Any:
    own, other = s.mark(), s.mark()
    heard: list[str] = []
    headers = {"x-agent-token": s.stolen}
    thread = Thread(target=lambda: listen(s.mission_control.port, f"{MC}/events", headers, heard, 5), daemon=True)
    thread.start()
    until(lambda: heard, 3)
    until(lambda: s.task("bob", other) and s.task("ann", own) and own in "".join(heard), 5)
    return own in "".join(heard), other in "".join(heard)


@attempt(WHO, "read or write the run of the user's other role")
def _(s: Stage) -> Any:
    mark = s.mark()
    key = waiting(s, "ann", "clerk", mark)["run_key"]
    read = mark in steal(s, "GET", f"/runs/{key}").text
    steal(s, "PUT", f"/runs/{key}/steps/7", {"kind": "llm", "payload": {"text": f"forged {mark}"}})
    return mark in s.agent(token("ann", "clerk"), "GET", f"/runs/{key}").text, read or f"forged {mark}" in s.agent(token("ann", "clerk"), "GET", f"/runs/{key}").text


@attempt(WHO, "cancel the run of the user's other role")
def _(s: Stage) -> Any:
    key = waiting(s, "ann", "clerk", s.mark())["run_key"]
    steal(s, "POST", f"/runs/{key}/cancel", {})
    clerk = token("ann", "clerk")
    before = s.agent(clerk, "GET", f"/runs/{key}")["status"]
    s.agent(clerk, "POST", f"/runs/{key}/cancel", {})
    return s.agent(clerk, "GET", f"/runs/{key}")["status"] == "cancelled", before == "cancelled"


@attempt(WHO, "hold the session of the user's other role, so that it cannot work")
def _(s: Stage) -> Any:
    task = s.task("ann", "Shared")
    body = {"session_key": "user:ann:clerk", "task_id": task, "holder": "thief", "ttl_secs": 3600}
    held = steal(s, "POST", "/sessions/lease", body)["lease_id"]
    mine = s.agent(token("ann", "clerk"), "POST", "/sessions/lease", {**body, "ttl_secs": 1})["lease_id"]
    return held or mine, held


@attempt(WHO, "ask a person in the name of the user's other role")
def _(s: Stage) -> Any:
    key, task = os.urandom(32).hex(), s.task("ann", "Ask")

    def ask(role: str, agent: str) -> Any:
        s.agent(agent, "PUT", f"/runs/{key}{role}", {"session_key": f"user:ann:{role}", "task_id": task, "status": "running"})
        body = {"task_id": task, "run_key": key + role, "session_key": f"user:ann:{role}", "tool": "pay", "arguments": {}, "idempotency_key": key + role}
        return s.agent(agent, "POST", "/tool-requests", body)["id"]

    return ask("scout", s.stolen), ask("clerk", s.stolen)


def twin(s: Stage) -> Stage:
    """The same programs with an empty database: what a thief has at home to learn run keys from."""
    if not hasattr(s, "home"):
        s.home = Application(s.backend("home").port)
        s.home_daemon = s.start_daemon(BACKEND_URL=f"http://127.0.0.1:{s.home.port}")
    return s


def prepared(s: Stage, key: str, text: str, title: str) -> tuple[str, list[dict[str, Any]]]:
    """The run key and the first steps of the run that a message with an idempotency key will be."""
    twin(s)
    answer = s.send(text, daemon=s.home_daemon, idempotency_key=key, task_title=title)
    run = call(s.home.mission_control, "GET", f"{MC}/runs/{answer['run_key']}", None, {"x-agent-token": s.stolen})
    return answer["run_key"], run["steps"]


@attempt(WHO, "prepare the journal of a run to come, with a model's answer in it")
def _(s: Stage) -> Any:
    results = []
    for forge in (False, True):
        mark, key = s.mark(), os.urandom(8).hex()
        text, title = backend("POST", "/app/pay", {"n": mark}), s.mark()
        task = s.task("ann", title)
        run_key, steps = prepared(s, key, text, title)
        if forge:
            steal(s, "PUT", f"/runs/{run_key}", {"session_key": "user:ann:scout", "task_id": task, "status": "running"})
            for step in steps[:2]:
                step = json.loads(json.dumps(step).replace("/app/pay", "/app/notes/13"))
                steal(s, "PUT", f"/runs/{run_key}/steps/{step['index']}", {"kind": step["kind"], "payload": step["payload"]})
        waits = s.send(text, idempotency_key=key, task_title=title)
        results.append(waits["status"] == "awaiting_approval" if not forge else [hit for hit in s.application.reached(mark) if "notes" in hit["path"]])
    return tuple(results)


@attempt(WHO, "add a model's answer to a run that waits for a person")
def _(s: Stage) -> Any:
    first, second, bad = s.mark(), s.mark(), s.mark()
    done = waiting(s, "ann", "scout", first)
    s.decide(done)
    s.resume(done)
    steps = steal(s, "GET", f"/runs/{done['run_key']}")["steps"]
    waits = waiting(s, "ann", "scout", second)
    run = f"/runs/{waits['run_key']}/steps"
    result = json.loads(json.dumps(steps[2]).replace(first, second))
    answer = json.dumps(steps[1]).replace("/app/pay", "/app/notes/14").replace(first, bad).replace("call_0_0", "call_1_0")
    for index, step in ((2, result), (3, json.loads(answer))):
        steal(s, "PUT", f"{run}/{index}", {"kind": step["kind"], "payload": step["payload"]})
    s.decide(waits)
    s.resume(waits)
    return s.application.reached(first), s.application.reached(bad)


@attempt(WHO, "take the run key that another role's run will have")
def _(s: Stage) -> Any:
    mark, key, title = s.mark(), os.urandom(8).hex(), s.mark()
    text, task = backend("POST", "/app/pay", {"n": mark}), s.task("ann", title)
    run_key, _ = prepared(s, key, text, title)
    clerk = token("ann", "clerk")
    s.agent(clerk, "PUT", f"/runs/{run_key}", {"session_key": "user:ann:clerk", "task_id": task, "status": "cancelled"})
    squatted = s.send(text, idempotency_key=key, task_title=title)
    other = s.send(text, idempotency_key=key + "x", task_title=title)
    return other["status"] == "awaiting_approval", squatted["status"] != "awaiting_approval"


@attempt(WHO, "have a person approve something harmless in place of a call to come")
def _(s: Stage) -> Any:
    mark, key, title = s.mark(), os.urandom(8).hex(), s.mark()
    text, task = backend("POST", "/app/pay", {"n": mark}), s.task("ann", title)
    prepared(s, key, text, title)
    asked = s.home.requests[-1]
    harmless = {"method": "POST", "path": "/app/pay", "body": {"n": "nothing"}}
    made = []
    for arguments in (harmless, asked["arguments"]):
        body = asked | {"task_id": task, "arguments": arguments, "reason": "harmless"}
        made.append(steal(s, "POST", "/tool-requests", body))
        s.person("ann", "PATCH", f"/tool-requests/{made[0]['id']}", {"status": "approved"})
    waits = s.send(text, idempotency_key=key, task_title=title)
    s.resume(waits) if waits["run_key"] else None
    stolen = s.application.reached(mark)[:]
    good = waiting(s, "ann", "scout", s.mark())
    s.decide(good)
    return s.resume(good)["status"] == "ok", stolen


@attempt(WHO, "speak as the person, and wake the user's other role so")
def _(s: Stage) -> Any:
    mark, task = s.mark(), s.task("ann", "Talk")
    steal(s, "POST", "/messages", {"task_id": task, "actor_type": "user", "content": f"@clerk forged {mark}"})
    forged = [one for one in s.person("ann", "GET", f"/messages?task_id={task}")["items"] if one["actor_type"] == "user"]
    forged += [one for one in s.person("ann", "GET", "/notifications?limit=200")["items"] if mark in json.dumps(one)]
    s.person("ann", "POST", "/messages", {"task_id": task, "actor_type": "user", "content": f"@clerk {mark}"})
    return mark in s.person("ann", "GET", "/notifications?limit=200").text, forged


@attempt(WHO, "read the audit log, or write another's act into it")
def _(s: Stage) -> Any:
    mark = s.mark()
    s.decide(waiting(s, "ann", "scout", s.mark()))
    read = "tool_request.approved" in steal(s, "GET", "/audit").text
    steal(s, "POST", "/audit", {"act": "tool_request.approved", "details": {"id": mark}})
    log = s.service("GET", "/audit?limit=200").text
    return "tool_request.approved" in log, read or mark in log


@attempt(WHO, "use it at the daemon")
def _(s: Stage) -> Any:
    mark = s.mark()
    body = {"user_id": "ann", "session_key": "user:ann:scout", "message": mark, "task_title": "T"}
    for headers in ({"x-agent-daemon-key": s.stolen}, {"authorization": f"Bearer {s.stolen}"}, {"x-agent-token": s.stolen}):
        call(s.daemon.port, "POST", "/api/agents/send", body, headers)
    stolen = s.model.saw(mark)
    s.send(mark)
    return s.model.saw(mark), stolen


@attempt(WHO, "use it as the internal token")
def _(s: Stage) -> Any:
    mark = s.mark()
    s.task("bob", mark)
    read = lambda word: call(s.mission_control.port, "GET", f"{MC}/tasks", None, {"x-internal-token": word, "x-on-behalf-of": "bob"}).text
    return mark in read(INTERNAL), mark in read(s.stolen)


@attempt(WHO, "act as its user until it expires", "It reads and writes one user's objects, and replies in their threads (If a credential leaks)")
def _(s: Stage) -> Any:
    mark, task = s.mark(), s.task("ann", "Thread")
    steal(s, "POST", "/messages", {"task_id": task, "content": mark, "actor_type": "agent", "agent_role": "scout"})
    return True, mark in s.stored("ann")


@attempt(WHO, "call the application around the rules of its role", "Rules are the daemon's; the application must check what an agent token may do there (If a credential leaks)")
def _(s: Stage) -> Any:
    mark, good = s.mark(), s.mark()
    s.send(backend("POST", "/app/orders/refund", {"n": good}))
    call(s.application.port, "POST", "/app/orders/refund", {"n": mark}, {"x-agent-token": s.stolen})
    return not s.application.reached(good), s.application.reached(mark, role="scout")
