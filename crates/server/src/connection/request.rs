//! What answers a request: the core, a file, or an application.

use super::body::{BodyReader, SPOOL_FULL};
use super::crossing::set_head;
use super::{Connection, Phase, Reading};
use crate::exchange::{Exchange, LogFields, RequestBody, Source, Upload};
use crate::generation::{Application, Generation};
use crate::request_id::{self, RequestId};
use crate::router::Route;
use crate::thread::{Context, Message, Waiter};
use gwanmun_files::compression::Accepted;
use gwanmun_files::{Cached, Conditions, FileEntry, Files, Found, Known, evaluate, is_servable};
use gwanmun_gateway::request::{HeadView, Piece, set_body_streamed};
use gwanmun_gateway::response::{WISH_ANY_TARGET, WISH_STREAM};
use gwanmun_http1::path::{self, Normal, PathError};
use gwanmun_http1::{Body, HeaderSpan, RequestHead, Span, TargetForm, Version};
use gwanmun_reactor::arena::Key;
use gwanmun_sys::descriptors;
use std::rc::Rc;
use std::sync::Arc;

/// Of a listing. Names are anybody's: should one get past the escaping, it still runs nothing (H83).
const LISTING_LINES: &[u8] = b"Vary: Accept\r\nCache-Control: no-cache\r\n\
Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
X-Content-Type-Options: nosniff\r\n";

/// A request whose path has been found out.
pub(super) struct Resolved<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) head: &'a RequestHead,
    /// Where `path` stands in `bytes`; none if it had to be decoded.
    pub(super) path_span: Option<Span>,
    pub(super) path: &'a [u8],
    /// The path as received has doubled slashes, which an application gets.
    pub(super) doubled: bool,
    pub(super) route: Route,
    pub(super) servable: bool,
}

impl Connection {
    /// Starts the request whose head has been parsed from `bytes`.
    pub(super) fn start_request(
        &mut self,
        cx: &mut Context,
        bytes: &[u8],
        head: &RequestHead,
        headers: &mut Vec<HeaderSpan>,
    ) {
        let key = self.open_exchange(cx, bytes, head, headers);
        let generation = Rc::clone(&cx.generation);
        if head.form == TargetForm::Asterisk {
            if self.start_any_target(cx, &generation, key, bytes, head, headers) {
                return;
            }
            self.answer_and_skip_body(
                cx,
                key,
                head,
                204,
                b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
            );
            return;
        }
        let raw = head.path.of(bytes);
        let mut decoded = std::mem::take(&mut cx.path);
        match path::normalize(raw, &mut decoded) {
            // Some mount may be meant by it, and which one is a matter of opinion.
            Err(error @ PathError::Ambiguous) => {
                self.refuse_exchange(cx, key, 400, error.reason());
            }
            Err(error) => {
                if !self.start_any_target(cx, &generation, key, bytes, head, headers) {
                    self.refuse_exchange(cx, key, 400, error.reason());
                }
            }
            Ok(normalized) => {
                let (path, path_span) = match normalized.form {
                    Normal::Same => (raw, Some(head.path)),
                    Normal::Decoded => (decoded.as_slice(), None),
                };
                match generation.router.find(path) {
                    None => self.answer_and_skip_body(cx, key, head, 404, b""),
                    Some(route) => {
                        // An encoded slash separates nothing in a file's path (H69).
                        let servable = !normalized.encoded_slash;
                        let doubled = normalized.doubled;
                        let resolved =
                            Resolved { bytes, head, path_span, path, doubled, route, servable };
                        self.start_resolved(cx, &generation, key, &resolved, headers);
                    }
                }
            }
        }
        cx.path = decoded;
    }

    /// Gives a request whose path has no normal form to the application at `/`, if that wants it. No other mount's path, and no
    /// file's, can be meant by it.
    fn start_any_target(
        &mut self,
        cx: &mut Context,
        generation: &Generation,
        key: Key,
        bytes: &[u8],
        head: &RequestHead,
        headers: &mut Vec<HeaderSpan>,
    ) -> bool {
        let Some(route) = generation.router.root() else { return false };
        let wishes = generation.mounts[route.mount]
            .application
            .is_some_and(|own| generation.pools[own.pool].wishes(own.index, WISH_ANY_TARGET));
        if !wishes {
            return false;
        }
        let (path, path_span) = (head.path.of(bytes), Some(head.path));
        let resolved =
            Resolved { bytes, head, path_span, path, doubled: false, route, servable: false };
        self.start_resolved(cx, generation, key, &resolved, headers);
        true
    }

    fn open_exchange(
        &mut self,
        cx: &mut Context,
        bytes: &[u8],
        head: &RequestHead,
        headers: &mut Vec<HeaderSpan>,
    ) -> Key {
        let connection = self.key;
        let now = cx.clock.now();
        let id = if cx.ids.is_off() { None } else { Some(request_id(cx, bytes, headers)) };
        let forwarded = if head.forwarded { self.believed(cx, bytes, headers) } else { None };
        let http10 = head.version == Version::Http10;
        let key = cx.exchanges.insert_with(|_| Exchange {
            head_only: head.method.of(bytes) == b"HEAD",
            http10,
            keep_alive: head.keep_alive && !cx.closing,
            id,
            is_behind: !self.exchanges.is_empty(),
            ..Exchange::new(connection, now, &cx.generation)
        });
        if cx.generation.log_access
            && let Some(exchange) = cx.exchanges.get_mut(key)
        {
            let find = |name| find(bytes, headers, name).map(Into::into);
            let of_json = |name| if cx.generation.log_json { find(name) } else { None };
            exchange.log = Some(Box::new(LogFields {
                method: head.method.of(bytes).into(),
                target: head.target.of(bytes).into(),
                http10,
                referer: find(b"referer"),
                user_agent: find(b"user-agent"),
                host: of_json(b"host"),
                traceparent: of_json(b"traceparent"),
                copied: head.len,
                ..LogFields::default()
            }));
            // What was copied of it.
            self.charge(exchange, head.len, 0);
        }
        if forwarded.is_some()
            && let Some(exchange) = cx.exchanges.get_mut(key)
        {
            exchange.log.get_or_insert_default().forwarded = forwarded;
        }
        self.exchanges.push_back(key);
        key
    }

    fn start_resolved(
        &mut self,
        cx: &mut Context,
        generation: &Generation,
        key: Key,
        request: &Resolved<'_>,
        headers: &mut Vec<HeaderSpan>,
    ) {
        let Resolved { bytes, head, route, .. } = *request;
        let mount = &generation.mounts[route.mount];
        if let Some(exchange) = cx.exchanges.get_mut(key) {
            exchange.mount = route.mount;
            if let Some(log) = &mut exchange.log {
                log.routed = true;
            }
        }
        if matches!(head.body, Body::Length(length) if length > generation.body_limit) {
            self.refuse_exchange(cx, key, 413, "the announced request body is over limits.body");
            return;
        }
        // A body of a GET means nothing to a file; an application may have a use for it.
        let reads = matches!(head.method.of(bytes), b"GET" | b"HEAD")
            && (head.body == Body::None || mount.application.is_none());
        if let Some(files) = &mount.files
            && reads
        {
            let path = &request.path[route.prefix..];
            self.skip_body(cx, key, head);
            let cached = if path.is_empty() {
                Cached::Fresh(if mount.application.is_some() {
                    Known::NotFound
                } else {
                    Known::Directory
                })
            } else if request.servable && is_servable(path) {
                let now = cx.clock.now();
                match cx.files.get(route.mount as u32, path, now) {
                    Cached::Stale { entry, recent: true }
                        if files.root.is_unchanged(&entry, path, &files.rules) =>
                    {
                        cx.files.renew(route.mount as u32, path, now);
                        Cached::Fresh(Known::File(entry))
                    }
                    cached => cached,
                }
            } else {
                Cached::Fresh(Known::NotFound)
            };
            match cached {
                // A large file is sent from its descriptor: what was announced must be what is there (H82).
                Cached::Fresh(Known::File(entry))
                    if entry.content.is_none() && !entry.is_unchanged() =>
                {
                    self.look_up(cx, generation, key, request, headers, None);
                    return;
                }
                Cached::Fresh(Known::File(entry)) => {
                    let conditions = conditions(bytes, headers, head.method.of(bytes) == b"HEAD");
                    let entry = negotiate(cx, files, entry, &conditions);
                    if entry.content.is_none() && !entry.is_unchanged() {
                        self.look_up(cx, generation, key, request, headers, None);
                        return;
                    }
                    self.respond_file(cx, key, &entry, &evaluate(&entry, &conditions));
                    return;
                }
                Cached::Fresh(Known::Directory) => {
                    let location = redirect_line(request.path, head.query.of(bytes));
                    self.answer(cx, key, 301, &location);
                    return;
                }
                Cached::Fresh(Known::Forbidden) => {
                    self.answer(cx, key, 403, b"");
                    return;
                }
                Cached::Fresh(Known::NotFound) => {}
                Cached::Miss => {
                    self.look_up(cx, generation, key, request, headers, None);
                    return;
                }
                Cached::Stale { entry, .. } => {
                    self.look_up(cx, generation, key, request, headers, Some(entry));
                    return;
                }
            }
        }
        match mount.application {
            Some(application) => self.start_application(cx, key, application, request, headers),
            None if reads => self.answer(cx, key, 404, b""),
            None => self.answer_and_skip_body(cx, key, head, 405, b"Allow: GET, HEAD\r\n"),
        }
    }

    /// Has the file looked for; [`on_found`](Self::on_found) goes on from there.
    fn look_up(
        &mut self,
        cx: &mut Context,
        generation: &Generation,
        key: Key,
        request: &Resolved<'_>,
        headers: &mut Vec<HeaderSpan>,
        known: Option<Arc<FileEntry>>,
    ) {
        let mount = request.route.mount;
        let application =
            generation.mounts[mount].application.map_or(0, |application| application.index);
        if !self.encode_head(cx, key, application, request, headers) {
            self.refuse_exchange(cx, key, 431, "the request head is too large to pass on");
            return;
        }
        if let Some(exchange) = cx.exchanges.get_mut(key) {
            // The file, or what is kept of a small one.
            self.charge(exchange, 0, 1);
        }
        let path = &request.path[request.route.prefix..];
        let own = Rc::clone(&cx.generation);
        let waiter = Waiter { connection: self.key, exchange: key };
        if let Err(error) = cx.look_for(&own, mount, path, known, waiter) {
            self.on_found(cx, key, &Found::Unavailable(error));
        }
    }

    /// The look-up of a file is done.
    pub(crate) fn on_found(&mut self, cx: &mut Context, key: Key, found: &Found) {
        let Some(exchange) = cx.exchanges.get_mut(key) else { return };
        let head = std::mem::take(&mut exchange.head);
        let mount = exchange.mount;
        let generation = Rc::clone(&exchange.generation);
        let view = HeadView::new(&head);
        match found {
            Found::File(entry) => {
                let conditions = conditions_of(&view);
                let mut entry = Arc::clone(entry);
                if let Some(files) = &generation.mounts[mount].files {
                    entry = negotiate(cx, files, entry, &conditions);
                }
                self.respond_file(cx, key, &entry, &evaluate(&entry, &conditions));
            }
            Found::Directory => {
                let mut path =
                    [view.piece(Piece::ScriptName), view.piece(Piece::PathInfo)].concat();
                path::merge(&mut path);
                let location = redirect_line(&path, view.piece(Piece::Query));
                self.answer(cx, key, 301, &location);
            }
            Found::Listing(listing) => {
                let wants_html = view.headers().any(|(name, value)| {
                    name.eq_ignore_ascii_case(b"accept")
                        && value.to_ascii_lowercase().windows(9).any(|part| part == b"text/html")
                });
                let (content_type, body) = if wants_html {
                    ("text/html; charset=utf-8", &listing.html)
                } else {
                    ("application/json", &listing.json)
                };
                self.answer_with(cx, key, content_type, LISTING_LINES, body.as_bytes());
            }
            Found::Forbidden => self.answer(cx, key, 403, b""),
            Found::Failed(error) if descriptors::is_exhaustion(error) => {
                cx.log_unserved(key, "file descriptors run short");
                self.answer(cx, key, 503, b"Retry-After: 1\r\n");
            }
            Found::Failed(error) => {
                cx.log_error(&format!("A file could not be opened: {error}."));
                self.answer(cx, key, 500, b"");
            }
            Found::Unavailable(error) => {
                let files = generation.mounts[mount].files.as_ref();
                if files.is_none_or(|files| files.root.lane().may_tell()) {
                    cx.log_error(&format!(
                        "Files can't be looked up, so requests get a 503: {error}."
                    ));
                }
                self.answer(cx, key, 503, b"Retry-After: 1\r\n");
            }
            Found::NotFound => match generation.mounts[mount].application {
                Some(_) => {
                    set_head(cx, key, head);
                    self.hand_over(cx, key);
                    return;
                }
                None => self.answer(cx, key, 404, b""),
            },
        }
        cx.buffers.give(head);
    }

    fn start_application(
        &mut self,
        cx: &mut Context,
        key: Key,
        application: Application,
        request: &Resolved<'_>,
        headers: &mut Vec<HeaderSpan>,
    ) {
        if !self.encode_head(cx, key, application.index, request, headers) {
            self.refuse_exchange(cx, key, 431, "the request head is too large to pass on");
            return;
        }
        if request.head.body == Body::None {
            self.hand_over(cx, key);
            return;
        }
        let body = request.head.body;
        let here = request.bytes.len() - request.head.len;
        // A short body that has arrived with its head is passed whole: that saves the worker's grant and a turn.
        let is_here = matches!(body, Body::Length(length)
            if length <= here as u64 && length <= cx.generation.body_in_memory as u64);
        let stream = !is_here
            && application.stream.unwrap_or_else(|| {
                cx.generation.pools[application.pool].wishes(application.index, WISH_STREAM)
            });
        if stream {
            self.start_streamed(cx, key, request.head);
            return;
        }
        let limit = cx.generation.body_limit;
        // What is announced and cannot be kept is not waited for.
        if let Body::Length(length) = body
            && length > cx.generation.body_in_memory as u64
            && cx.shared.spooled.bytes().saturating_add(length) > cx.generation.spool_limit
        {
            self.refuse_exchange(cx, key, 503, SPOOL_FULL);
            return;
        }
        if request.head.expect_continue && !is_here {
            // The body is buffered here, so it is the core that wants it. It is the only exchange: its output is the next.
            self.output.tail(&mut cx.buffers).extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.mark_dirty(cx);
        }
        self.phase = Phase::Body(Box::new(BodyReader::collect(key, body, limit, cx.clock.ms())));
        self.reading = Reading::Body;
        self.read_deadline = cx.clock.ms() + cx.generation.timeouts.body_ms;
    }

    /// To a worker with the head; the body follows as the worker asks for it.
    fn start_streamed(&mut self, cx: &mut Context, key: Key, head: &RequestHead) {
        if let Some(exchange) = cx.exchanges.get_mut(key) {
            let length = match head.body {
                Body::Length(length) => Some(length),
                Body::None | Body::Chunked => None,
            };
            set_body_streamed(&mut exchange.head, length);
            exchange.body = RequestBody::Streamed(Upload::default());
        }
        let reader =
            BodyReader::stream(key, head.body, cx.generation.body_limit, head.expect_continue);
        self.phase = Phase::Body(Box::new(reader));
        self.reading = Reading::Body;
        self.read_deadline = 0;
        self.hand_over(cx, key);
    }

    /// The request is complete, or its body follows: to a worker with it.
    pub(super) fn hand_over(&mut self, cx: &mut Context, key: Key) {
        if let Some(exchange) = cx.exchanges.get_mut(key)
            && let Some(log) = &mut exchange.log
        {
            log.source = Source::App;
            log.complete = Some(cx.clock.now());
        }
        if !cx.dispatch(key) {
            self.answer(cx, key, 503, b"Retry-After: 1\r\n");
        }
    }
}

/// The request's id. A header of the client's that it is not taken from goes: nothing behind us shall see another id.
fn request_id(cx: &mut Context, bytes: &[u8], headers: &mut Vec<HeaderSpan>) -> RequestId {
    let is_id = |header: &HeaderSpan| header.name.of(bytes).eq_ignore_ascii_case(request_id::NAME);
    let given = headers.iter().filter(|header| is_id(header)).map(|header| header.value.of(bytes));
    let id = cx.ids.id(given);
    if let RequestId::Made(_) = id {
        headers.retain(|header| !is_id(header));
    }
    id
}

fn find<'a>(bytes: &'a [u8], headers: &[HeaderSpan], name: &[u8]) -> Option<&'a [u8]> {
    let header = headers.iter().find(|header| header.name.of(bytes).eq_ignore_ascii_case(name))?;
    Some(header.value.of(bytes))
}

fn conditions<'a>(bytes: &'a [u8], headers: &[HeaderSpan], head_only: bool) -> Conditions<'a> {
    gather(headers.iter().map(|header| (header.name.of(bytes), header.value.of(bytes))), head_only)
}

/// The file in the coding that the client likes best, if it is there; else one is made in the background for the next one who
/// asks. A range is one of the file as it is.
pub(super) fn negotiate(
    cx: &Context,
    files: &Arc<Files>,
    entry: Arc<FileEntry>,
    conditions: &Conditions<'_>,
) -> Arc<FileEntry> {
    let Some(accepted) = conditions.accept_encoding.filter(|_| conditions.range.is_none()) else {
        return entry;
    };
    let (chosen, wanted) = entry.negotiate(Accepted::parse(accepted));
    if let Some(coding) = wanted {
        if files.root.recall(&entry, coding) {
            return entry.negotiate(Accepted::parse(accepted)).0;
        }
        if !entry.begin_packing() {
            return chosen;
        }
        let (files, own) = (Arc::clone(files), Arc::clone(&entry));
        let lane = Arc::clone(files.root.lane());
        cx.run_blocking(
            &lane,
            move || {
                let folder = files.packed.as_deref();
                let trouble = files.root.pack(&entry, coding, folder);
                entry.end_packing();
                let trouble = folder.zip(trouble);
                let complaint = trouble.and_then(|(folder, error)| folder.complaint(&error));
                Message::Packed { complaint }
            },
            move |error| {
                own.end_packing();
                Message::Packed {
                    complaint: Some(format!("A file could not be compressed: {error}.")),
                }
            },
        );
    }
    chosen
}

pub(super) fn conditions_of<'a>(view: &HeadView<'a>) -> Conditions<'a> {
    gather(view.headers(), view.piece(Piece::Method) == b"HEAD")
}

/// RFC 9110 §14.2: a range means something for GET only.
fn gather<'a>(
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    head_only: bool,
) -> Conditions<'a> {
    let mut conditions = Conditions::default();
    let mut repeated = false;
    for (name, value) in headers {
        // Most names of a request are none of these; length and first letter tell.
        let field = match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (8, Some(b'i')) if name.eq_ignore_ascii_case(b"if-match") => &mut conditions.if_match,
            (8, Some(b'i')) if name.eq_ignore_ascii_case(b"if-range") => &mut conditions.if_range,
            (13, Some(b'i')) if name.eq_ignore_ascii_case(b"if-none-match") => {
                &mut conditions.if_none_match
            }
            (17, Some(b'i')) if name.eq_ignore_ascii_case(b"if-modified-since") => {
                &mut conditions.if_modified_since
            }
            (19, Some(b'i')) if name.eq_ignore_ascii_case(b"if-unmodified-since") => {
                &mut conditions.if_unmodified_since
            }
            (15, Some(b'a')) if name.eq_ignore_ascii_case(b"accept-encoding") => {
                &mut conditions.accept_encoding
            }
            (5, Some(b'r')) if !head_only && name.eq_ignore_ascii_case(b"range") => {
                &mut conditions.range
            }
            _ => continue,
        };
        repeated |= field.replace(value).is_some();
    }
    // Lists over several lines are legal and unheard of: the whole file is always a right answer to them.
    if repeated { Conditions::default() } else { conditions }
}

/// `Location` of a folder's path with its slash. Always a path of this server: the normal form has one leading slash, and
/// everything that is not plainly a path's character is encoded (H80).
fn redirect_line(path: &[u8], query: &[u8]) -> Vec<u8> {
    let mut line = b"Location: ".to_vec();
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            line.push(byte);
        } else {
            line.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    line.push(b'/');
    if !query.is_empty() {
        line.push(b'?');
        line.extend_from_slice(query);
    }
    line.extend_from_slice(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h80_a_redirect_stays_on_this_server() {
        assert_eq!(redirect_line(b"/a b/\\evil", b"x=1"), b"Location: /a%20b/%5Cevil/?x=1\r\n");
        assert_eq!(redirect_line("/é".as_bytes(), b""), b"Location: /%C3%A9/\r\n");
    }
}
