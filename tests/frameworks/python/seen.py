"""What an application saw of a call, and how each is served: on a free port, whose address is printed."""

import datetime
import json
import socket

RESERVED = "the name 'house' is reserved: choose one that says what the thing is"


def plain(value):
    """A date or time as ISO 8601, so that both can be told apart; addresses as text."""
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat().replace("+00:00", "Z")
    return value.model_dump() if hasattr(value, "model_dump") else str(value)


def seen(operation, **values):
    """Tells the test what came: one line on standard output."""
    print("seen " + json.dumps({"operation": operation, **values}, default=plain), flush=True)


def listening():
    """A socket that takes connections, and the line that says where."""
    taken = socket.create_server(("127.0.0.1", 0))
    print(f"listening on http://127.0.0.1:{taken.getsockname()[1]}", flush=True)
    return taken


def free_port():
    """For a server that takes no socket: its number is printed, and it is free until the server takes it."""
    taken = listening()
    port = taken.getsockname()[1]
    taken.close()
    return port


def serve_asgi(app):
    import uvicorn

    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening()])


def serve_wsgi(app):
    from werkzeug.serving import make_server

    taken = listening()
    port = taken.getsockname()[1]
    make_server("127.0.0.1", port, app, threaded=True, fd=taken.fileno()).serve_forever()
