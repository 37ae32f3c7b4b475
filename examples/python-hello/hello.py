"""A WSGI application: `gwanmun hello.py`, or as gwanmun.config.ts says."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"Hello from Python, " + environ["PATH_INFO"].encode("latin-1") + b"\n"]
