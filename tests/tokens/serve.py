"""Serves an application of these tests on a free port, and says which."""

import socket


def asgi(app):
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def wsgi(app):
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app)
    print(f"listening on http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()
