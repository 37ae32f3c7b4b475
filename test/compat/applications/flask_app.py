# What test/compat/compare.mjs asks, as a Flask application.
from flask import Flask, Response, jsonify, make_response, redirect, request, send_file

app = Flask(__name__)


@app.get("/")
def index():
    return jsonify(args=request.args.to_dict(), host=request.host, url=request.url, cookies=request.cookies)


@app.route("/echo", methods=["POST", "PUT", "PATCH", "DELETE"])
def echo():
    body = request.get_data()
    return jsonify(method=request.method, length=len(body), type=request.content_type, start=body[:32].decode("latin-1"))


@app.get("/stream")
def stream():
    return Response((f"line {n}\n" for n in range(100)), mimetype="text/plain")


@app.get("/file")
def file():
    return send_file(__file__, conditional=True, mimetype="text/plain")


@app.get("/cookies")
def cookies():
    response = make_response("cookies")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", path="/")
    return response


@app.get("/redirect")
def away():
    return redirect("/elsewhere")


@app.get("/empty")
def empty():
    return "", 204


@app.get("/error")
def error():
    raise RuntimeError("on purpose")
