"""A hostile page in a person's browser, and hostile text on our own page: what a browser would send and run."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from model import backend, say
from score import attempt
from stage import Stage
from wire import MC, call, token

WHO = "hostile browser page"
EVIL = "http://evil.example"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def stage(programs: Path, folder: Path) -> Stage:
    stage = Stage(programs, folder)
    stage.skill("POST /app/pay", "POST /app/notes/{id}")
    stage.roles(scout={"approval": ["POST /app/pay"]})
    stage.daemon = stage.start_daemon()
    # For programs of this machine only: what a page could reach through its visitor's browser.
    stage.keyless = stage.start_daemon(AGENT_DAEMON_API_KEY="")
    return stage


def board(s: Stage, path: str, **headers: str) -> Any:
    return call(s.mission_control.port, "GET", path, None, headers)


def own_token(s: Stage) -> str:
    return board(s, "/?user=ann").text.split('name="token" value="', 1)[1].split('"', 1)[0]


def post(s: Stage, path: str, fields: dict[str, str], **headers: str) -> Any:
    return call(s.mission_control.port, "POST", path, urlencode(fields).encode(), FORM | headers)


def waiting(s: Stage, **arguments: Any) -> tuple[str, dict[str, str]]:
    waits = s.send(backend("POST", "/app/pay", arguments or {"n": s.mark()}))
    one = waits["tool_requests"][0]["id"]
    return one, {"user": "ann", "id": one, "decision": "approved"}


def status(s: Stage, one: str) -> str:
    return s.person("ann", "GET", f"/tool-requests/{one}")["status"]


class Page(HTMLParser):
    """What a browser would run or load of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        source = given.get("src", "")
        # The chart of our own page.
        if tag == "svg" and given.get("class") == "chart":
            return
        if tag in ("iframe", "object", "embed", "base", "svg", "img", "video", "audio", "math", "meta") and not (tag == "meta" and set(given) <= {"charset", "name", "content"}):
            self.bad.append(tag)
        if (tag == "script" and not source.startswith("/assets/")) or (tag == "link" and not given.get("href", "").startswith("/assets/")):
            self.bad.append(tag)
        self.bad += [name for name in given if name.startswith("on") or name in ("style", "srcdoc", "formaction", "ping")]
        address = re.sub(r"[\x00-\x20]", "", given.get("href", "") + given.get("action", "") + source).lower()
        if re.match(r"(javascript|data|vbscript|file|blob):", address):
            self.bad.append(address)
        if tag == "a":
            self.links.append(given.get("href", ""))


SCRIPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "![x](http://evil.example/beacon.png)",
    "<a href=\"javascript:alert(1)\">x</a>",
    "\"><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "</textarea></pre></code><script>alert(1)</script>",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    "<style>@import '//evil.example'</style>",
    "<base href=//evil.example>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "| a | b |\n| - | - |\n| <script>alert(1)</script> | x |",
]


@attempt(WHO, "run a script on our page, by a message, reply, title, document or argument")
def _(s: Stage) -> Any:
    mark, effects, seen = s.mark(), [], ""
    agent = token("ann", "scout")
    for n, script in enumerate(SCRIPTS):
        text = f"{mark} {script}"
        task = s.task("ann", f"{text} {n}"[:200])
        s.person("ann", "POST", "/messages", {"task_id": task, "content": text, "actor_type": "user"})
        s.agent(agent, "POST", "/messages", {"task_id": task, "content": text, "actor_type": "agent", "agent_role": "scout"})
        document = s.agent(agent, "POST", "/documents", {"task_id": task, "title": text, "content": text})["id"]
        for path in (f"/tasks/{task}?user=ann", f"/documents/{document}?user=ann"):
            shown = board(s, path).text
            seen += shown[:20] if mark in shown else ""
            effects += Page(shown).bad
    s.send(backend("POST", "/app/pay", {"text": " ".join(SCRIPTS), "<script>": mark}) + say(" ".join(SCRIPTS)))
    effects += Page(board(s, "/?user=ann").text).bad
    return len(seen) >= 20 * len(SCRIPTS), effects


@attempt(WHO, "send a form of our page from another site")
def _(s: Stage) -> Any:
    one, fields = waiting(s)
    own = own_token(s)
    for headers in ({"origin": EVIL}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://localhost:1"}):
        post(s, "/decide", fields, **headers)
        post(s, "/decide", fields | {"token": own}, **headers)
    for guess in ("", "x", own[:-1], own.upper()):
        post(s, "/decide", fields | {"token": guess})
    before = status(s, one)
    post(s, "/decide", fields | {"token": own}, origin=f"http://127.0.0.1:{s.mission_control.port}", **{"sec-fetch-site": "same-origin"})
    return status(s, one) == "approved", before != "pending"


@attempt(WHO, "reach our page under another host name (DNS rebinding)")
def _(s: Stage) -> Any:
    mark = s.mark()
    s.task("ann", mark)
    hosts = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"]
    return mark in board(s, "/?user=ann").text, [host for host in hosts if mark in board(s, "/?user=ann", host=host).text]


def keyless(s: Stage, text: str, body: bytes | None = None, **headers: str) -> None:
    data = {"user_id": "ann", "session_key": "user:ann:scout", "message": text, "task_title": s.mark()}
    call(s.keyless.port, "POST", "/api/agents/send", body or data, headers)


@attempt(WHO, "start a run at a daemon without a key, from a page or by rebinding")
def _(s: Stage) -> Any:
    good, bad = s.mark(), s.mark()
    keyless(s, bad, origin=EVIL)
    keyless(s, bad, origin="null")
    keyless(s, bad, host="evil.example")
    keyless(s, bad, host="evil.example", origin="http://evil.example")
    keyless(s, bad, origin=EVIL, **{"sec-fetch-site": "cross-site"})
    plain = json.dumps({"user_id": "ann", "session_key": "user:ann:scout", "message": bad, "task_title": "T"}).encode()
    keyless(s, bad, plain, **{"content-type": "text/plain"})
    keyless(s, bad, plain, **{"content-type": "application/x-www-form-urlencoded"})
    keyless(s, good)
    return s.model.saw(good), s.model.saw(bad)


@attempt(WHO, "read anything of a daemon without a key by rebinding")
def _(s: Stage) -> Any:
    paths = ["/health", "/metrics", "/skills", "/context?role=scout", "/api/agents", "/usage", "/openapi.json", "/api/version", "/readyz"]
    get = lambda path, **headers: call(s.keyless.port, "GET", path, None, headers).status == 200
    return [path for path in paths if get(path)], [path for path in paths if get(path, host="evil.example")]


@attempt(WHO, "read an answer of ours from another site (CORS)")
def _(s: Stage) -> Any:
    allowed = []
    for port, path in ((s.mission_control.port, "/"), (s.mission_control.port, f"{MC}/tasks"), (s.keyless.port, "/skills"), (s.daemon.port, "/health")):
        for method in ("GET", "OPTIONS"):
            answer = call(port, method, path, None, {"origin": EVIL, "access-control-request-method": "GET"})
            allowed += [path for name in answer.headers if name.startswith("access-control-allow")]
    return board(s, "/").status == 200, allowed


@attempt(WHO, "show our page in a frame, or have its answers taken for something else")
def _(s: Stage) -> Any:
    pages = [board(s, path) for path in ("/", "/assets/board.js", "/assets/board.css", "/documents/nothing", "/tasks/nothing")]
    policy = [page.headers.get("content-security-policy", "") for page in pages]
    weak = [page.status for page in pages if page.headers.get("x-content-type-options") != "nosniff"]
    weak += [text for text in policy if "frame-ancestors 'none'" not in text or "default-src 'none'" not in text or "unsafe" in text]
    return pages[0].status == 200, weak


@attempt(WHO, "take the session: cookie for scripts, for other sites, or by a guess")
def _(s: Stage) -> Any:
    port = s.backend("locked", MC_BOARD_PASSWORD="correct-horse").port
    answer = call(port, "POST", "/login", b"password=correct-horse", FORM)
    cookie = answer.headers.get("set-cookie", "")
    get = lambda value: call(port, "GET", "/", None, {"cookie": value}).status == 200
    session = re.search(r"wombat_board=([^;]+)", cookie)
    guesses = ["", "wombat_board=", "wombat_board=1", f"wombat_board={session.group(1)[:-1]}" if session else "", "wombat_board=' OR 1=1"]
    weak = [word for word in ("HttpOnly", "SameSite=Strict") if word not in cookie]
    return bool(session) and get(session.group(0)), weak + [guess for guess in guesses if get(guess)]


@attempt(WHO, "log a person in by a form of another site")
def _(s: Stage) -> Any:
    port = s.backend("locked2", MC_BOARD_PASSWORD="correct-horse").port
    login = lambda **headers: "set-cookie" in call(port, "POST", "/login", b"password=correct-horse", FORM | headers).headers
    return login(), [one for one in ({"origin": EVIL}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}) if login(**one)]


def approvals(s: Stage) -> str:
    """The part of the page where a person decides."""
    text = board(s, "/?user=ann").text
    return text.split('id="approvals"', 1)[-1].split("</section>", 1)[0]


HIDING = "\u202e\u2066\u200b\u200f\u0007\u2028\ufeff"


@attempt(WHO, "hide what is approved behind characters that turn or vanish")
def _(s: Stage) -> Any:
    mark = s.mark()
    one, _ = waiting(s, to=f"{mark}{HIDING}gnp.exe", **{f"key{HIDING}": 1})
    shown = html.unescape(approvals(s))
    works = mark in shown
    s.person("ann", "PATCH", f"/tool-requests/{one}", {"status": "denied"})
    return works, [f"U+{ord(char):04X}" for char in HIDING if char in shown]


@attempt(WHO, "have a person approve what is too large to be shown")
def _(s: Stage) -> Any:
    one, fields = waiting(s, first="x", text="y" * 300_000, last="pay everything")
    shown = html.unescape(approvals(s))
    whole = "pay everything" in shown
    post(s, "/decide", fields | {"token": own_token(s)})
    blind = status(s, one) == "approved" and not whole
    s.person("ann", "PATCH", f"/tool-requests/{one}", {"status": "denied"})
    small, fields = waiting(s, last="pay a little")
    post(s, "/decide", fields | {"token": own_token(s)})
    return status(s, small) == "approved", blind


@attempt(WHO, "change the order of what is approved, so that it reads otherwise")
def _(s: Stage) -> Any:
    one, _ = waiting(s, zz1="first", aa2="second", mm3="third")
    shown = html.unescape(approvals(s))
    places = [shown.find(f'"{name}"') for name in ("zz1", "aa2", "mm3")]
    s.person("ann", "PATCH", f"/tool-requests/{one}", {"status": "denied"})
    return min(places) >= 0, places != sorted(places)


@attempt(WHO, "have a visitor's browser fetch the API with its own credentials")
def _(s: Stage) -> Any:
    mark = s.mark()
    s.task("ann", mark)
    tries = [{}, {"cookie": f"x-agent-token={token('ann', 'scout')}"}, {"origin": EVIL}, {"authorization": f"Bearer {token('ann', 'scout')}"}]
    read = lambda headers: mark in call(s.mission_control.port, "GET", f"{MC}/tasks?limit=200", None, headers).text
    return read({"x-agent-token": token("ann", "scout")}), [one for one in tries if read(one)]


@attempt(WHO, "lead a person away by a link", "A link in what agents and people write leads where its author wants; nothing is loaded before a click (What is not enforced)")
def _(s: Stage) -> Any:
    mark = s.mark()
    task = s.task("ann", "Links")
    s.agent(token("ann", "scout"), "POST", "/messages", {"task_id": task, "content": f"[click]({EVIL}/{mark})", "actor_type": "agent", "agent_role": "scout"})
    shown = Page(board(s, f"/tasks/{task}?user=ann").text)
    return not shown.bad, [link for link in shown.links if mark in link]


@attempt(WHO, "be a program on the same machine as a daemon without a key", "Without a key the daemon serves every program of its machine (docs/API.md, Conventions)")
def _(s: Stage) -> Any:
    mark = s.mark()
    keyless(s, mark)
    return True, s.model.saw(mark)
