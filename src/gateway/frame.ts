/**
 * The numbers of the gateway protocol, version 1 (docs/gateway-protocol.md). The same constants exist in Rust.
 */

export const PROTOCOL_VERSION = 1;

/** Where the shared page has the pulse of the worker's event loop, in bytes: its beats, and by how many milliseconds the last was late. */
export const PULSE_BEATS = 32;
export const PULSE_LAG = 36;
/** Milliseconds between two beats, and between two looks at them. */
export const PULSE_MS = 250;

/** A frame's header: size, kind, flags, stream, extra. */
export const FRAME_HEADER = 16;
/** Largest frame, header included. */
export const MAX_FRAME = 65_536;
/** Largest payload of one frame. */
export const MAX_PAYLOAD = MAX_FRAME - FRAME_HEADER;

export const KIND_HELLO = 1;
export const KIND_READY = 2;
export const KIND_NAMES = 3;
export const KIND_BLOCK = 4;
export const KIND_HEAD = 5;
export const KIND_INFO = 6;
export const KIND_DATA = 7;
export const KIND_TRAILERS = 9;
export const KIND_END = 10;
export const KIND_RESET = 11;
export const KIND_CREDIT = 12;
export const KIND_LOG = 13;
export const KIND_CLOSED = 14;
export const KIND_PASSING = 15;

/** The sender sends nothing more on this stream. */
export const FLAG_END = 1;
/** One file descriptor comes with this frame. */
export const FLAG_FD = 2;
/** The bytes of this DATA are in a shared buffer: `extra` is its number × 65 536 + how many. */
export const FLAG_SHARED = 4;

export const RESET_APPLICATION_ERROR = 1;
export const RESET_CLIENT_GONE = 2;
export const RESET_CANCELLED = 3;
export const RESET_PROTOCOL_ERROR = 4;
/** The request body is too large, too slow or malformed; the client has been told. */
export const RESET_BODY = 5;

export const LOG_ERROR = 1;
export const LOG_WARNING = 2;
export const LOG_INFORMATION = 3;
export const LOG_DEBUG = 4;

// Where LOG's text comes from.
export const LOG_FROM_WORKER = 0;
export const LOG_FROM_STDOUT = 1;
export const LOG_FROM_STDERR = 2;
export const LOG_FROM_UNCAUGHT = 3;
export const LOG_FROM_WSGI_ERRORS = 4;

/** LOG's `extra`: before the text there is a line that names a request whose stream has ended. */
export const LOG_NAMED = 0x100_0000;

/** The environ encoding this worker asks for: a table of offsets into the request's text. */
export const ENCODING_OFFSETS = 1;
/** HEAD from the core: the response has to wait behind others. It begins with a window of {@link NARROW_WINDOW} and passes no descriptor. */
export const FLAG_NARROW = 8;
/** Body bytes that a response with {@link FLAG_NARROW} may send before it gets CREDIT. */
export const NARROW_WINDOW = 8192;
/** HELLO's capabilities: this worker wants CLOSED. */
export const CAPABILITY_CLOSED = 1;
/** HELLO's capabilities: this worker reads pieces of bodies from the shared buffers. */
export const CAPABILITY_SHARED = 2;
/** READY: the application gets request bodies as they come, if its mount says nothing. */
export const WISH_STREAM = 1;
/** READY: at `/`, the application also gets targets that have no path in normal form, as they are. */
export const WISH_ANY_TARGET = 2;

/** HELLO from the core: this worker is one of several processes. */
export const HELLO_MULTIPROCESS = 1;

/** Bytes between the started marks of two links. */
export const MARK_STRIDE = 64;
/** Bytes of the page of marks, which is the start of the shared memory. */
export const MARK_PAGE = 4096;
/** Buffers that each link has behind the page. */
export const SHARED_BUFFERS = 16;
/** Size of a shared buffer: a header, and as much as a frame's payload. */
export const SHARED_BUFFER = 65_536;
/** Where in a shared buffer the bytes of a piece are. The header before them begins with a u32, 0 when the buffer is the core's. */
export const SHARED_BYTES = 16;

// A request head, in u32 words from the start of the payload.
export const HEAD_APPLICATION = 0;
export const HEAD_NAMES = 1;
export const HEAD_FLAGS = 2;
export const HEAD_COUNT = 3;
export const HEAD_LENGTH_LOW = 4;
export const HEAD_LENGTH_HIGH = 5;
export const HEAD_PORTS = 6;
export const HEAD_TEXT_START = 7;
export const HEAD_TEXT_LENGTH = 8;
export const HEAD_METHOD = 9;
export const HEAD_TARGET = 10;
export const HEAD_SCRIPT_NAME = 11;
export const HEAD_PATH_INFO = 12;
export const HEAD_QUERY_STRING = 13;
export const HEAD_SERVER_NAME = 14;
export const HEAD_REMOTE_ADDR = 15;
export const HEAD_PAIRS = 16;

export const HEAD_FLAG_HTTP10 = 1;
export const HEAD_FLAG_TLS = 2;
export const HEAD_FLAG_LENGTH = 4;
export const HEAD_FLAG_STREAMED = 8;
/** The text ends with variables of the connection, behind the client's address. */
export const HEAD_FLAG_VARIABLES = 16;

/** A response head's payload begins with the length of its header lines and its form: 0, {@link FORM_HTTP} or {@link FORM_REASON}. */
export const RESPONSE_HEAD = 8;
/** The second word of a response head: it is an HTTP/1 head, with status line and empty line. */
export const FORM_HTTP = 1;
/** The second word of a response head: before the header lines there is a line with the reason phrase. */
export const FORM_REASON = 2;
/** With {@link FLAG_FD} a response head has offset and length of a part of the file instead of body bytes: two u64. */
export const FILE_PART = 16;
