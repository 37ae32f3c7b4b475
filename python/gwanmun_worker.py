"""gwanmun's Python worker: hosts one WSGI application (PEP 3333) behind the gateway protocol, docs/gateway-protocol.md.

Started by gwanmun, never by hand. Standard library, Python 3.8 or newer; older ones must parse it too, to say so. Requests are
answered one after the other, on one thread. W numbers are rows of docs/application-contract.md."""
import array, collections, contextlib, ctypes, faulthandler, functools, gc, importlib, io, json, logging, mmap, os, re, select, signal, socket
import struct, sys, tempfile, threading, time, traceback

HELLO, READY, HEAD, DATA, END, RESET, CREDIT, LOG = 1, 2, 5, 7, 10, 11, 12, 13
FLAG_END, FLAG_FD, FLAG_NARROW, APPLICATION_ERROR, CLIENT_GONE, MAX_PAYLOAD, NARROW_WINDOW = 1, 2, 8, 1, 2, 65520, 8192
LOG_ERROR, LOG_WARNING, LOG_INFORMATION, LOG_DEBUG, LOG_NAMED = 1, 2, 3, 4, 1 << 24
FROM_WORKER, FROM_STDOUT, FROM_STDERR, FROM_WSGI_ERRORS = 0, 1, 2, 4  # where LOG's text comes from
FORM_REASON = 2  # of a response head: before the header lines there is one with the reason
FRAME, RESPONSE = struct.Struct("<IBBHII"), struct.Struct("<IBBHIIII")  # size, kind, flags, 0, stream, extra; also length of the lines, form
PATIENCE = 0.001  # seconds that a response may wait for others to be sent together with it
STATUS, VALUE = re.compile(r"[2-5][0-9][0-9] [ -~\x80-\xff]*\Z"), re.compile(r"[ -~\x80-\xff]*\Z")
CONNECTION = re.compile(r"(connection|keep-alive|proxy-.*|te|trailers?|transfer-encoding|upgrade)\Z", re.I)  # W38: what is the server's
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+\Z", re.I | re.A)
warned = set()  # headers of the connection that were told of
Socket, get_ident, clock, poll = socket.socket, threading.get_ident, time.perf_counter, select.poll()  # not patched yet
sending = threading.RLock()  # what is sent on a link is whole frames
links, current, padding = {}, None, [bytes(size) for size in range(8)]  # by descriptor; the request that is being answered
handlers, masks = {}, {}  # of signals, as they were; by thread
loaded, told = 0, set()  # how many modules there were; their files
queue = collections.deque()  # requests that are complete, in the order in which they are run

@functools.lru_cache(500)
def check(status, headers):
    """Gives code, Content-Length, lines and form of a status with headers."""
    if not isinstance(status, str) or not STATUS.match(status):
        raise ValueError("the status must look like '200 OK', from 200 to 599; got %r" % (status,))  # W36, W59
    for item in headers:
        if len(item) != 2 or not all([isinstance(part, str) for part in item]):
            raise TypeError("a header must be a tuple (name, value) of two str, got %r" % (item,))  # W37
        if not NAME.match(item[0]) or not VALUE.match(item[1]):
            raise ValueError("a header that cannot be sent: %r" % (item,))
        if CONNECTION.match(item[0]) and current and item[0].lower() not in warned and len(warned) < 50:
            warned.add(item[0].lower())
            text = "A response has the header %s. It concerns the connection, which is the server's, and is left out. Later ones are left out without a word."
            current.log(LOG_WARNING, (text % item[0]).encode())
    lengths = [value for name, value in headers if name.lower() == "content-length"] or [None]
    if lengths != [None] and not re.match("[0-9]{1,15}\\Z", ",".join(lengths)):
        raise ValueError("Content-Length must be one number of bytes, got %r" % (lengths,))
    form, reason = (0, "") if status == "200 OK" else (FORM_REASON, status[4:] + "\r\n")
    lines = (reason + "".join(["%s: %s\r\n" % item for item in headers if not CONNECTION.match(item[0])])).encode("latin-1")
    if len(lines) > 60000:
        raise ValueError("the headers have %d bytes together, more than can be sent" % len(lines))
    return int(status[:3]), lengths[0] and int(lengths[0]), lines, form

class Log(io.RawIOBase):
    """Behind wsgi.errors: text for the log, with the request that is being answered; else for standard error."""
    thread, writable = get_ident(), lambda self: True

    def write(self, data):
        if current is None or get_ident() != self.thread:
            sys.stderr.write(bytes(data).decode("utf-8"))
        else:
            current.log(LOG_INFORMATION, bytes(data), FROM_WSGI_ERRORS)
        return len(data)

errors = io.TextIOWrapper(io.BufferedWriter(Log()), "utf-8", "backslashreplace", line_buffering=True)

class Backlog(object):
    """What an application is ahead of its client, in memory up to a MiB and then in a file without a name: only that client waits for it."""
    def __init__(self):
        self.file, self.read, self.size = tempfile.SpooledTemporaryFile(1 << 20), 0, 0

    def keep(self, data):
        if self.size - self.read + len(data) > 1 << 28:
            raise BufferError("the client is more than 256 MiB behind the application")
        self.file.seek(self.size)
        self.size += self.file.write(data)

    def take(self, most):
        self.file.seek(self.read)
        data = self.file.read(most)
        self.read += len(data)
        return data

class Request(object):
    """One request and its response."""
    head, left, rest, credit = None, None, b"", 0  # left: of the Content-Length; rest: what has no credit yet
    backlog = None  # what comes after the rest
    called = sent = gone = final = bodiless = False

    def __init__(self, link, stream, sequence, environ, window):
        self.window = window  # what may be sent before there is credit
        self.link, self.stream, self.sequence, self.environ, self.parts = link, stream, sequence, environ, []

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
            text = traceback.format_exc().encode("utf-8", "backslashreplace")
            self.log(LOG_ERROR, text)
            if self.sent or not settings["development"]:
                return self.reset(APPLICATION_ERROR)
            self.head = 500, None, b"Content-Type: text/plain; charset=utf-8\r\n", 0
            self.whole(text)

    def start_response(self, status, headers, exc_info=None):
        if exc_info is not None and (self.sent or type(exc_info) is not tuple):
            raise exc_info[1].with_traceback(exc_info[2])  # W34, W42
        if exc_info is None and self.called:
            raise AssertionError("start_response was called twice, the second time without exc_info")  # W33
        self.called, self.head, exc_info = True, None, None
        for item in headers if type(headers) is list else [None]:
            if type(item) is not tuple:
                raise TypeError("the headers must be a list of tuples (name, value), got %.200r" % (headers,))  # W37
        self.head = check(status, tuple(headers))
        return self.write

    def write(self, data):
        if self.send(data):
            raise ValueError("write() was given more bytes than Content-Length says")  # W55

    def whole(self, body):
        """Sends a body that is complete: in one frame, or as its client takes it while other requests go on."""
        code, _, lines, form = self.head
        size = 24 + len(lines) + len(body)
        if size > MAX_PAYLOAD or len(body) > self.window:
            self.send_head(len(body))
            self.send(body)
            return self.push(True)
        self.link.out += (RESPONSE.pack(size, HEAD, FLAG_END, 0, self.stream, code, len(lines), form), lines, body, padding[-size & 7])
        del self.link.streams[self.stream]

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
        """Has a piece of the body on its way when it returns, or keeps it for a client that is slow. True: too long."""
        if not isinstance(piece, bytes):
            raise TypeError("a piece of the body must be bytes, got %s" % type(piece).__name__)  # W60
        if not piece or self.gone:
            return False
        if not self.sent:
            self.send_head()
        beyond = self.left is not None and self.left < len(piece)
        piece = memoryview(piece)[: 0 if self.bodiless else self.left]
        self.left = self.left and self.left - len(piece)
        if self.backlog:
            self.backlog.keep(piece)
        elif len(piece):  # else what is beyond the length would take the place of the end, which may wait
            self.rest = piece
        self.push()
        flush()
        self.link.receive()
        while len(self.rest) and not self.gone and not queue and self.left != 0:  # nobody else waits
            receive()
            self.gone = self.gone or self.link.ended
        if len(self.rest) and not self.gone and self.left != 0 and not self.backlog:
            self.backlog = Backlog()
            self.backlog.keep(self.rest)
            self.rest = b""
        flush()
        return beyond

    def send_head(self, length=None):
        if self.head is None:
            raise AssertionError("start_response was not called")  # W35
        code, self.left, lines, form = self.head
        self.bodiless = code in (204, 304) or self.environ.get("REQUEST_METHOD") == "HEAD"
        if length is not None and self.left is None and (length or not self.bodiless):
            lines, self.left = lines + b"Content-Length: %d\r\n" % length, length
        self.sent, self.credit = True, self.window
        self.link.frame(HEAD, 0, self.stream, code, struct.pack("<II", len(lines), form) + lines)

    def push(self, final=False):
        """Sends of the rest what there is credit for, and the end after the last of it."""
        self.final = self.final or final
        if self.gone:
            return self.reset(CLIENT_GONE)
        while self.credit and (len(self.rest) or self.backlog):
            if not len(self.rest):
                self.rest = memoryview(self.backlog.take(MAX_PAYLOAD))
                if self.backlog.read == self.backlog.size:
                    self.backlog = None
            part = self.rest[: min(self.credit, MAX_PAYLOAD)]
            self.rest, self.credit = self.rest[len(part) :], self.credit - len(part)
            self.link.frame(DATA, 0, self.stream, 0, part)
        if self.final and not len(self.rest) and not self.backlog and self.link.streams.pop(self.stream, None):
            self.link.frame(END, 0, self.stream, 0)

    def log(self, level, text, origin=FROM_WORKER):
        """To the error log, at once, with the request. Of one that has ended the core knows nothing, and its number may be another's."""
        stream, extra, before = self.stream, level | origin << 16, b""
        if self.link.streams.get(stream) is not self:
            name = str(self.environ.get("REQUEST_METHOD", "")) + " " + str(self.environ.get("REQUEST_URI", ""))[:16384].replace("\n", " ") + "\n"
            ident = str(self.environ.get("HTTP_X_REQUEST_ID", ""))[:128].encode("latin-1", "replace")
            stream, extra, before = 0, extra | len(ident) << 8 | LOG_NAMED, ident + name.encode("latin-1", "replace")
        self.link.frame(LOG, 0, stream, extra, before + text[: MAX_PAYLOAD - len(before)])
        flush()

    def reset(self, reason):
        if self.link.streams.pop(self.stream, None):
            self.link.frame(RESET, 0, self.stream, reason)

class Link(object):
    """The socket to one I/O thread of the core: frames out, frames in, streams."""
    def __init__(self, fd, slot, concurrency):
        self.socket, self.slot, self.begun, self.ended = Socket(fileno=fd), slot, 0, False
        self.socket.setblocking(True)
        poll.register(fd, select.POLLIN)
        self.out, self.rest, self.fds, self.streams = [], b"", collections.deque(), {}
        self.frame(HELLO, 0, 0, 0, struct.pack("<4I", 1, 2, concurrency, 0) + b"python %d.%d.%d" % sys.version_info[:3])
        self.frame(READY, 0, 0, 0)

    def frame(self, kind, flags, stream, extra, payload=b""):
        size = 16 + len(payload)
        self.out += (FRAME.pack(size, kind, flags, 0, stream, extra), payload, padding[-size & 7])

    def receive(self):
        """Takes in what has come. Requests go to the queue."""
        try:
            flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
            data, control, _, _ = self.socket.recvmsg(65536, 64, flags)  # malloc maps and unmaps 128 KiB and more each time
        except BlockingIOError:
            return
        for _, _, fds in control:
            self.fds.extend(array.array("i", fds))
        self.ended, data = not data, self.rest + data
        at, end, text, unpack = 0, len(data), data.decode("latin-1"), FRAME.unpack_from
        while end - at >= 16:
            size, kind, flags, _, stream, extra = unpack(data, at)
            following, request = at + size + 7 & -8, self.streams.get(stream)
            if following > end:
                break
            if kind == HEAD:
                environ, values = self.constants.copy(), iter(text[at + 24 : at + size].split("\0"))
                environ.update(zip(values, values))
                environ.update(self.given)
                request = self.streams[stream] = Request(self, stream, extra, environ, NARROW_WINDOW if flags & FLAG_NARROW else self.window)
            elif kind == HELLO:
                _, self.window, flags, _ = struct.unpack_from("<4I", data, at + 16)
                values = iter(text[at + 32 : at + size].split("\0"))
                self.constants = {"wsgi.version": (1, 0), "wsgi.run_once": False, "wsgi.multithread": False, "wsgi.input_terminated": True}  # W09
                self.constants.update({"wsgi.multiprocess": bool(flags & 1), "wsgi.errors": errors})
                self.given = dict(zip(values, values))  # wins
            elif kind == DATA and request:
                request.parts.append(data[at + 16 : at + size])
            elif kind == CREDIT and request:
                request.credit += extra
                request.push()
            elif kind == RESET and request:  # the client is gone; what is not run yet, or any more, is over
                request.gone = True
                if request.parts is not None or request.final:
                    request.reset(CLIENT_GONE)
            elif size < 16:
                raise ValueError("the core sent a frame of %d bytes" % size)
            if flags & FLAG_END and request:
                body = open(self.fds.popleft(), "rb") if flags & FLAG_FD else io.BytesIO(b"".join(request.parts))
                body.seek(0)
                request.environ["wsgi.input"], request.parts = body, None
                queue.append(request)
            at = following
        self.rest = data[at:]

def report(**facts):  # ends with what the main process makes a message of: why there is no application; no facts: there is one
    os.write(settings["report"], json.dumps(dict(facts, version="%d.%d.%d" % sys.version_info[:3]), default=str).encode())
    os._exit(1 if facts else 0)

def tell_loaded(*files):
    """In development: says which files are loaded, and which failed to be, for they are watched."""
    global loaded
    if files or loaded != len(sys.modules):
        loaded = len(sys.modules)
        files += tuple([getattr(module, "__file__", None) for module in list(sys.modules.values())])
        new = {os.path.realpath(file) for file in files if isinstance(file, str) and os.path.isabs(file)} - told
        told.update(new)
        installed = os.path.dirname(os.__file__) + "/", "/site-packages/", "/dist-packages/"
        new = [file for file in new if not any([part in file for part in installed])]
        new and os.write(settings["report"], json.dumps({"loaded": new}, separators=(",", ":")).encode() + b"\n")

def load(target):
    name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if "importlib" not in frame[0]]
        at = [error.filename, error.lineno, error.offset] if isinstance(error, SyntaxError) else list(*frames[-1:])[:2]
        stack = traceback.format_list(frames) + traceback.format_exception_only(type(error), error)
        settings["development"] and tell_loaded(*at[:1], *[frame.filename for frame in frames])
        report(kind=type(error).__name__, name=getattr(error, "name", ""), where=at, stack=stack)
    settings["development"] and tell_loaded()
    for part in [attribute] if attribute else ["application", "app"]:
        if callable(getattr(module, part, None)):
            return getattr(module, part)
    names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    report(kind="callable", name=attribute or "application", found=hasattr(module, part), names=names)

def ignore(*_):
    pass

def hold():  # signals to a process that the application forks wait until it is no worker any more
    masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, list(handlers) + [signal.SIGUSR1])

def go_on():
    signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop(get_ident()))

def leave():
    """In that process: it holds nothing of ours, and ends by signals as any process does."""
    global current
    for fd in fds:
        links[fd].socket.close() if fd in links else os.close(fd)
    links.clear()
    current = None
    for number, handler in handlers.items():
        if signal.getsignal(number) is ignore:  # else it is the application's
            signal.signal(number, handler)
    faulthandler.unregister(signal.SIGUSR1)
    os.close(settings["report"])
    go_on()

def receive():
    """Waits for something to come over any link, and takes it in."""
    flush()
    for fd, _ in poll.poll():
        links[fd].receive()
        if links[fd].ended:
            poll.unregister(links.pop(fd).socket)
            fds.remove(fd)

def flush():
    for link in [link for link in links.values() if link.out]:
        data, link.out = b"".join(link.out), []
        with sending:
            link.socket.sendall(data)

def emit(handler, record):
    """Takes the place of logging.StreamHandler's: what goes to one of our streams goes to the log as a record, with its level and its request."""
    try:
        origin = next((origin for origin, stream in streams if handler.stream == stream), None)
        link = next(iter(links.values()), None)
        if origin is None or link is None:
            return plain(handler, record)
        text = handler.format(record).encode("utf-8", "backslashreplace")
        number = record.levelno  # somebody who develops sees all that was asked for
        level = (number < 20 and not settings["development"]) + (number < 30) + (number < 40) + LOG_ERROR
        if current is not None and get_ident() == Log.thread:
            return current.log(level, text, origin)
        text = text[:MAX_PAYLOAD]
        with sending:  # on any thread, between what the first one sends
            link.socket.sendall(FRAME.pack(16 + len(text), LOG, 0, 0, 0, level | origin << 16) + text + padding[-len(text) & 7])
    except OSError:  # the core has cut the link
        plain(handler, record)
    except Exception:
        handler.handleError(record)

def serve():
    """Answers requests until every link has ended."""
    global current
    development = settings["development"]
    quick, sent = set(), 0  # the paths that took less than PATIENCE the last time; when responses were sent
    while links:
        while queue:
            request = queue.popleft()
            path, start = request.environ["PATH_INFO"], clock()
            if path not in quick or start - sent > PATIENCE:
                flush()
                sent = start
            request.reset(CLIENT_GONE) if request.gone else request.run()
            (quick.discard if clock() - start > PATIENCE or len(quick) > 1000 else quick.add)(path)
        errors.flush()
        current = request = None
        development and tell_loaded()
        receive()
        sent = clock()

if __name__ == "__main__":
    settings = json.loads(os.environ.pop("GWANMUN_WORKER"))
    fds = [int(fd) for fd in re.findall("[0-9]+", os.environ.pop("GWANMUN_LINKS"))]  # none: it is only a check
    if sys.version_info < (3, 8):
        report(kind="version")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they reach the whole group; the core ends the links to stop us
        handlers[number] = signal.signal(number, ignore)
    for fd in fds + [settings["report"]]:  # of programs that the application starts, too, none holds a link
        os.set_inheritable(fd, False)
    os.register_at_fork(before=hold, after_in_child=leave, after_in_parent=go_on)
    faulthandler.register(signal.SIGUSR1, settings["report"])  # says where the code is, while it hangs
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: dies with the main process
    if os.getppid() != settings["parent"]:
        os._exit(1)
    sys.path[:] = [os.getcwd()] + [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    sys.stdout.reconfigure(line_buffering=True)
    streams = [(FROM_STDOUT, sys.stdout), (FROM_STDERR, sys.stderr), (FROM_WSGI_ERRORS, errors)]
    plain, logging.StreamHandler.emit = logging.StreamHandler.emit, emit
    application = load(settings["application"])
    fds or report()
    marks = memoryview(mmap.mmap(fds[0], 4096)).cast("I")
    links.update({fd: Link(fd, 16 * slot, settings["concurrency"]) for slot, fd in enumerate(fds[1:])})
    gc.freeze()  # what is loaded by now need not be looked at again
    with contextlib.suppress(ConnectionError):  # the core has cut the links
        serve()
