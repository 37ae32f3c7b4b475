"""gwanmun's Python worker: hosts one WSGI application (PEP 3333) behind the gateway protocol, docs/gateway-protocol.md.

Started by gwanmun, never by hand. Standard library, Python 3.8 or newer; older ones must be able to parse it, to say so.
One thread: requests that have come are answered one after the other. W numbers are the rows of WSGI's rules.
"""
import array, collections, ctypes, gc, importlib, io, json, mmap, os, re, select, signal, socket, struct, sys, threading
import time, traceback

HELLO, READY, HEAD, DATA, END, RESET, CREDIT, LOG = 1, 2, 5, 7, 10, 11, 12, 13
FLAG_END, FLAG_FD, APPLICATION_ERROR, CLIENT_GONE, LOG_ERROR, LOG_TEXT, MAX_PAYLOAD = 1, 2, 1, 2, 1, 4, 65520
FRAME = struct.Struct("<IBBHII")  # size, kind, flags, 0, stream, extra
RESPONSE = struct.Struct("<IBBHIIII")  # the same, length of the header lines, 0
PATIENCE = 0.001  # seconds that a response may wait for others to be sent together with it
STATUS = re.compile(r"[2-5][0-9][0-9] [ -~\x80-\xff]*\Z")
TOKEN, VALUE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z"), re.compile(r"[ -~\x80-\xff]*\Z")
HOP_BY_HOP = re.compile(r"(connection|keep-alive|proxy-.*|te|trailers?|transfer-encoding|upgrade)\Z", re.I)
PADDING = [b"\0" * n for n in range(8)]
heads = {}  # those that were checked lately, by status and headers
links = {}  # by their descriptor
queue = collections.deque()  # requests that are complete, in the order in which they are run
application = marks = current = None

class Head(object):
    """A status with headers, checked."""

    def __init__(self, status, headers):
        if not isinstance(status, str) or not STATUS.match(status):
            raise ValueError("the status must look like '200 OK', from 200 to 599; got %r" % (status,))  # W36, W59
        if type(headers) is not list or not all([type(item) is tuple and len(item) == 2 for item in headers]):
            raise TypeError("the headers must be a list of tuples (name, value), got %.200r" % (headers,))  # W37
        for name, value in headers:
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError("a header's name and value must be str, got %r" % ((name, value),))
            if not TOKEN.match(name) or not VALUE.match(value) or HOP_BY_HOP.match(name):  # W38
                raise ValueError("a header that cannot be sent, or concerns the connection: %r" % ((name, value),))
        lengths = [value for name, value in headers if name.lower() == "content-length"] or [None]
        if lengths != [None] and not re.match("[0-9]{1,15}\\Z", ",".join(lengths)):
            raise ValueError("Content-Length must be one number of bytes, got %r" % (lengths,))
        self.code, self.length = int(status[:3]), lengths[0] and int(lengths[0])
        self.lines = "".join(["%s: %s\r\n" % item for item in headers]).encode("latin-1")
        if len(self.lines) > 60000:
            raise ValueError("the headers have %d bytes together, more than can be sent" % len(self.lines))

class Log(io.RawIOBase):
    """Behind wsgi.errors: text for the log, with the request that is being answered; else for standard error."""
    thread = threading.get_ident()

    def writable(self):
        return True

    def write(self, data):
        if current is None or threading.get_ident() != self.thread:
            sys.stderr.write(bytes(data).decode("utf-8"))
        else:
            current.link.log(LOG_TEXT, current.stream, bytes(data))
        return len(data)

errors = io.TextIOWrapper(io.BufferedWriter(Log()), "utf-8", "backslashreplace", line_buffering=True)

class Request(object):
    """One request and its response."""
    head = left = None  # what start_response was told; what is left of the Content-Length
    called = sent = gone = final = bodiless = False
    rest, credit = b"", 0

    def __init__(self, link, stream, sequence, environ):
        self.link, self.stream, self.sequence, self.environ, self.parts = link, stream, sequence, environ, []

    def complete(self, body):
        self.environ["wsgi.input"], self.parts = body, None
        queue.append(self)

    def on_frame(self, kind, flags, extra, payload):
        if kind == DATA and self.parts is not None:
            self.parts.append(payload)
            if flags & FLAG_END:
                self.complete(io.BytesIO(b"".join(self.parts)))
        elif kind == CREDIT:
            self.credit += extra
            self.push()
        elif kind == RESET:  # the client is gone; what is not run yet, or any more, is over
            self.gone = True
            if self.parts is not None or self.final:
                self.reset(CLIENT_GONE)

    def run(self):
        """Calls the application and sends what it returns."""
        global current
        link, current = self.link, self
        if 0 < (self.sequence - link.begun & 0xFFFFFFFF) < 0x80000000:
            link.begun = marks[link.slot] = self.sequence
        try:
            result = application(self.environ, self.start_response)
            if type(result) is list and self.head is not None and not self.sent:
                self.whole(b"".join(result))
            else:
                self.iterate(result)
        except BaseException:  # W63: not even SystemExit ends a worker
            link.log(LOG_ERROR, self.stream, traceback.format_exc().encode("utf-8", "backslashreplace"))
            self.reset(APPLICATION_ERROR)

    def start_response(self, status, headers, exc_info=None):
        if exc_info is not None and (self.sent or type(exc_info) is not tuple):
            raise exc_info[1].with_traceback(exc_info[2])  # W34, W42
        if exc_info is None and self.called:
            raise AssertionError("start_response was called twice, the second time without exc_info")  # W33
        self.called, self.head, exc_info = True, None, None
        try:
            self.head = heads[status, tuple(headers)]
        except (KeyError, TypeError):
            self.head = Head(status, headers)
            if len(heads) >= 500:
                heads.clear()
            heads[status, tuple(headers)] = self.head
        return self.write

    def write(self, data):
        if self.send(data):
            raise ValueError("write() was given more bytes than Content-Length says")  # W55

    def whole(self, body):
        """Sends a body that is complete: in one frame, or as its client takes it while other requests go on."""
        link, head, size = self.link, self.head, 24 + len(self.head.lines) + len(body)
        if size > MAX_PAYLOAD:
            self.send_head(len(body))
            self.send(body)
            return self.push(True)
        frame = RESPONSE.pack(size, HEAD, FLAG_END, 0, self.stream, head.code, len(head.lines), 0)
        link.out += (frame, head.lines, body, PADDING[-size & 7])
        del link.streams[self.stream]

    def iterate(self, result):
        """Sends each piece before it asks for the next (W51)."""
        try:
            if isinstance(result, (bytes, str)):
                raise TypeError("the application returned %s; it must be a list: [body]" % type(result).__name__)
            for piece in result:
                self.send(piece)
                if self.gone or self.bodiless or self.left == 0:
                    break
            if not self.sent:
                self.send_head(0)
            self.push(True)
        finally:
            if hasattr(result, "close"):
                result.close()  # W52

    def send(self, piece):
        """Has a piece of the body on its way when it returns, or keeps the last one of a known length. True: too long."""
        if not isinstance(piece, bytes):
            raise TypeError("a piece of the body must be bytes, got %s" % type(piece).__name__)  # W60
        if not piece or self.gone:
            return False
        if not self.sent:
            self.send_head()
        beyond = self.left is not None and self.left < len(piece)
        self.rest = memoryview(piece)[: 0 if self.bodiless else self.left]
        self.left = self.left and self.left - min(len(piece), self.left)
        self.push()
        flush()
        self.link.receive(False)
        while len(self.rest) and not self.gone and self.left != 0:
            flush()
            self.link.receive(True)
        self.link.flush()
        return beyond

    def send_head(self, length=None):
        if self.head is None:
            raise AssertionError("start_response was not called")  # W35
        lines, self.left, code = self.head.lines, self.head.length, self.head.code
        if length is not None and self.left is None:
            lines, self.left = lines + b"Content-Length: %d\r\n" % length, length
        self.sent, self.credit = True, self.link.window
        self.bodiless = code in (204, 304) or self.environ.get("REQUEST_METHOD") == "HEAD"
        self.link.frame(HEAD, 0, self.stream, code, struct.pack("<II", len(lines), 0) + lines)

    def push(self, final=False):
        """Sends of the rest what there is credit for, and the end after the last of it."""
        self.final = self.final or final
        if self.gone:
            return self.reset(CLIENT_GONE)
        while len(self.rest) and self.credit:
            part = self.rest[: min(self.credit, MAX_PAYLOAD)]
            self.rest, self.credit = self.rest[len(part) :], self.credit - len(part)
            self.link.frame(DATA, 0, self.stream, 0, part)
        if self.final and not len(self.rest) and self.link.streams.pop(self.stream, None):
            self.link.frame(END, 0, self.stream, 0)

    def reset(self, reason):
        if self.link.streams.pop(self.stream, None):
            self.link.frame(RESET, 0, self.stream, reason)

class Link(object):
    """The socket to one I/O thread of the core: frames out, frames in, streams."""

    def __init__(self, fd, slot, concurrency):
        self.socket, self.slot, self.begun, self.ended = socket.socket(fileno=fd), slot, 0, False
        self.socket.set_inheritable(False)
        self.socket.setblocking(True)
        self.out, self.rest, self.fds, self.streams = [], b"", collections.deque(), {}
        hello = struct.pack("<IIII", 1, 2, concurrency, 0) + b"python %d.%d.%d" % sys.version_info[:3]
        self.frame(HELLO, 0, 0, 0, hello)

    def frame(self, kind, flags, stream, extra, payload=b""):
        size = 16 + len(payload)
        self.out += (FRAME.pack(size, kind, flags, 0, stream, extra), payload, PADDING[-size & 7])

    def flush(self):
        if self.out:
            data, self.out = b"".join(self.out), []
            self.socket.sendall(data)

    def log(self, level, stream, text):
        self.frame(LOG, 0, stream, level, text[:MAX_PAYLOAD])
        self.flush()

    def receive(self, wait):
        """Takes in what has come. Requests go to the queue."""
        try:
            flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
            data, control, _, _ = self.socket.recvmsg(262144, 64, flags)
        except BlockingIOError:
            return
        for _, _, fds in control:
            self.fds.extend(array.array("i", fds))
        if not data:
            self.ended = True
            for request in self.streams.values():
                request.gone = True
        data = self.rest + data
        at, end, text, unpack = 0, len(data), data.decode("latin-1"), FRAME.unpack_from
        while end - at >= 16:
            size, kind, flags, _, stream, extra = unpack(data, at)
            if at + size > end:
                break
            if kind == HEAD:
                values = iter(text[at + 24 : at + size].split("\0"))
                environ = dict(zip(values, values))
                environ.update(self.constants)
                request = self.streams[stream] = Request(self, stream, extra, environ)
                if flags == FLAG_END:
                    request.complete(io.BytesIO())
                elif flags & FLAG_END:
                    os.lseek(self.fds[0], 0, os.SEEK_SET)
                    request.complete(open(self.fds.popleft(), "rb"))
            elif kind == HELLO:
                _, self.window, flags, _ = struct.unpack_from("<4I", data, at + 16)
                values = iter(text[at + 32 : at + size].split("\0"))
                self.constants = {"wsgi.version": (1, 0), "wsgi.errors": errors, "wsgi.run_once": False}  # W09
                self.constants.update({"wsgi.multithread": False, "wsgi.multiprocess": bool(flags & 1)})
                self.constants.update(zip(values, values))
            elif stream in self.streams:  # else this side has ended it meanwhile
                self.streams[stream].on_frame(kind, flags, extra, data[at + 16 : at + size])
            at = at + size + 7 & -8
        self.rest = data[at:]

def load(target):
    """The application, or why there is none, of which the main process makes a message."""
    name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if "importlib" not in frame[0]]
        where = list(frames[-1])[:2] if frames else None
        where = [error.filename, error.lineno, error.offset] if isinstance(error, SyntaxError) else where
        stack = traceback.format_list(frames) + traceback.format_exception_only(type(error), error)
        return None, {"kind": type(error).__name__, "name": getattr(error, "name", ""), "where": where, "stack": stack}
    for part in [attribute] if attribute else ["application", "app"]:
        if callable(getattr(module, part, None)):
            return getattr(module, part), None
    names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    return None, {"kind": "callable", "name": attribute or "application", "found": hasattr(module, part), "names": names}

def flush():
    for link in links.values():
        link.flush()

def serve():
    """Answers requests until every link has ended."""
    global current
    quick, sent, clock, poll = set(), 0, time.perf_counter, select.poll()  # quick: paths that took less than PATIENCE
    for fd in links:
        poll.register(fd, select.POLLIN)
    while links:
        while queue:
            request = queue.popleft()
            path, start = request.environ["PATH_INFO"], clock()
            if path not in quick or start - sent > PATIENCE:
                flush()
                sent = start
            request.reset(CLIENT_GONE) if request.gone else request.run()
            if clock() - start > PATIENCE:
                quick.discard(path)
            elif path not in quick and len(quick) < 1000:
                quick.add(path)
        errors.flush()
        flush()
        current = request = None
        for fd, _ in poll.poll():
            links[fd].receive(False)
            if links[fd].ended:
                poll.unregister(links.pop(fd).socket)
        sent = clock()

def main():
    global application, marks
    settings = json.loads(os.environ.pop("GWANMUN_WORKER"))
    fds = [int(fd) for fd in re.findall("[0-9]+", os.environ.pop("GWANMUN_LINKS"))]
    failure = {"kind": "version"}
    if sys.version_info >= (3, 8):
        if fds:  # else it is only a check
            # A terminal's Ctrl-C reaches the whole process group; the main process says when to stop, by ending the links.
            signal.signal(signal.SIGINT, lambda *_: None)
            signal.signal(signal.SIGTERM, lambda *_: None)
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: dies with the main process, even spinning
            if os.getppid() != settings["parent"]:
                os._exit(1)
        sys.path[:] = [os.getcwd()] + [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
        application, failure = load(settings["application"])
    if failure or not fds:
        os.write(settings["report"], json.dumps(dict(failure or {}, version="%d.%d.%d" % sys.version_info[:3])).encode())
        os._exit(1 if failure else 0)
    os.close(settings["report"])
    sys.stdout.reconfigure(line_buffering=True)
    marks = memoryview(mmap.mmap(fds[0], 4096)).cast("I")
    links.update({fd: Link(fd, 16 * slot, settings["concurrency"]) for slot, fd in enumerate(fds[1:])})
    os.register_at_fork(after_in_child=lambda: [link.socket.close() for link in links.values()])
    gc.collect()
    gc.freeze()  # what is loaded by now need not be looked at again
    for link in links.values():
        link.frame(READY, 0, 0, 0)
    serve()

if __name__ == "__main__":
    main()
