//! From the workers to the clients: a link's beginning and end, and the frames that come over it.

use super::link::{Block, Link, LinkState};
use super::memory::WorkerMemory;
use super::pool::{Pool, Waiting};
use crate::connection::relay::{self, RelayedHead};
use crate::exchange::{self, RequestBody, ResponseState};
use crate::request_id::RequestId;
use crate::server::Event;
use crate::thread::{Context, Message, Thread};
use gwanmun_gateway::frame::{FrameError, FrameReader, Kind, ResetReason};
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_gateway::response::{FromWorker, LogLevel, LogOrigin, RequestLine};
use gwanmun_gateway::{CAPABILITY_CLOSED, CAPABILITY_SHARED, VERSION, WINDOW};
use gwanmun_log::{Level, Record, WorkerName};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll::{Readiness, Token};
use gwanmun_sys::descriptors::{self, is_exhaustion};
use gwanmun_sys::passing::{Received, receive_with_fds};
use gwanmun_sys::syscall::{self, Transfer};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

impl Thread {
    /// A new worker's link to this thread.
    pub(crate) fn add_link(
        &mut self,
        worker: u32,
        pool: Arc<Pool>,
        fd: OwnedFd,
        memory: Arc<WorkerMemory>,
    ) {
        let cx = &mut self.cx;
        let slot = cx.thread;
        let key = cx.links.insert_with(|_| Link::new(worker, pool, fd, memory, slot));
        cx.worker_links.insert(worker, key);
        if let Some(link) = cx.links.get(key)
            && let Err(error) = cx.epoll.add_input_edges(link.fd.as_fd(), Token::Link(key))
        {
            self.fail_link(key, &format!("the link can't be watched: {error}"));
        }
    }

    /// No more requests for the worker, but for those that other threads have assigned to it and not heard of this yet.
    pub(crate) fn drain_worker(&mut self, worker: u32) {
        if let Some(link) = self.link_to(worker) {
            link.draining = true;
        }
    }

    /// Every thread knows that the worker gets nothing more: its link ends when its streams have.
    pub(crate) fn end_worker(&mut self, worker: u32) {
        if let Some(link) = self.link_to(worker) {
            link.ending = true;
        }
        if let Some(&key) = self.cx.worker_links.get(&worker) {
            self.cx.mark_link_dirty(key);
        }
    }

    /// The worker is gone: what it had sent is read, and then the link ends, even if another process holds its other side.
    pub(crate) fn hang_up(&mut self, worker: u32) {
        let Some(&key) = self.cx.worker_links.get(&worker) else { return };
        let Some(link) = self.cx.links.get(key) else { return };
        // A socket pair has no reason to refuse; if it did, the end of file would tell.
        let _ = syscall::shutdown_both(link.fd.as_fd());
        self.read_link(key, true);
    }

    fn link_to(&mut self, worker: u32) -> Option<&mut Link> {
        let key = *self.cx.worker_links.get(&worker)?;
        self.cx.links.get_mut(key)
    }

    pub(crate) fn on_link_event(&mut self, key: Key, readiness: Readiness) {
        let at_end = readiness.read_closed || readiness.gone;
        if readiness.readable || at_end {
            self.read_link(key, at_end);
        }
        if readiness.writable {
            self.cx.mark_link_dirty(key);
        }
    }

    /// Writes what is queued for a link.
    pub(crate) fn flush_link(&mut self, key: Key) {
        let Some(link) = self.cx.links.get_mut(key) else { return };
        link.dirty = false;
        let Ok(all) = link.flush() else {
            self.read_link(key, true);
            return;
        };
        if link.blocked == all {
            link.blocked = !all;
            // For a watched descriptor this fails only for want of memory; the link's next frames try again.
            let _ = self.cx.epoll.watch_output(link.fd.as_fd(), Token::Link(key), !all);
        }
        if all && !link.held_back.is_empty() {
            for connection in std::mem::take(&mut link.held_back) {
                if let Some(connection) = self.connections.get_mut(connection) {
                    connection.mark_dirty(&mut self.cx);
                }
            }
        }
        let Some(link) = self.cx.links.get_mut(key) else { return };
        if all && link.ending && link.streams.is_empty() && !link.shut {
            link.shut = true;
            // An error means that the worker is gone already, which reading will tell.
            let _ = syscall::shutdown_write(link.fd.as_fd());
        }
    }

    /// Links to which the kernel had no memory, or no room for descriptors on their way, are tried again.
    pub(crate) fn retry_starved(&mut self) {
        for key in self.cx.links.keys() {
            if let Some(link) = self.cx.links.get_mut(key)
                && std::mem::take(&mut link.starved)
            {
                self.cx.mark_link_dirty(key);
                self.read_link(key, false);
            }
        }
    }

    /// Receives and handles frames until the link has no more. `at_end`: the worker has closed it, which no further event
    /// will tell, so that the end must be read too.
    fn read_link(&mut self, key: Key, at_end: bool) {
        let mut buffer = std::mem::take(&mut self.link_buffer);
        while let Some(link) = self.cx.links.get_mut(key) {
            let kept = link.partial.len();
            buffer[..kept].copy_from_slice(&link.partial);
            link.partial.clear();
            let pending = link.descriptors.len();
            let received = if link.passing {
                // Looking for descriptors costs a tenth of a small receive.
                syscall::would_block(receive_with_fds(
                    link.fd.as_fd(),
                    &mut buffer[kept..],
                    &mut link.descriptors,
                ))
            } else {
                syscall::receive(link.fd.as_fd(), &mut buffer[kept..])
            };
            // A receive ends behind a descriptor, so that a short one then does not tell that nothing is left.
            let more = at_end || link.descriptors.len() > pending;
            match received {
                Ok(Transfer::Bytes(count @ 1..)) => {
                    let worker = link.worker;
                    if let Err(error) = self.handle_frames(key, &buffer[..kept + count]) {
                        // Its exit will say nothing of this: it only sees its links end.
                        let name = self.cx.shared.worker_name(worker);
                        self.cx.shared.logger.record(&Record {
                            level: Level::Error,
                            event: "worker-protocol",
                            text: &format!(
                                "worker {} broke the gateway protocol: {error}.",
                                name.number
                            ),
                            worker: Some(name),
                            ..Record::default()
                        });
                        self.fail_link(key, &format!("it broke the gateway protocol: {error}"));
                        break;
                    }
                    if kept + count < buffer.len() && !more {
                        break;
                    }
                }
                Ok(Transfer::WouldBlock) => {
                    if kept > 0 {
                        link.partial.extend_from_slice(&buffer[..kept]);
                    }
                    break;
                }
                Ok(Transfer::Bytes(_)) => {
                    let reason = if link.shut { "" } else { "it closed its link" };
                    self.fail_link(key, reason);
                    break;
                }
                // The kernel has no memory now: what is there comes again with the next frames, or at the next look.
                Err(error) if is_exhaustion(&error) => {
                    link.partial.extend_from_slice(&buffer[..kept]);
                    link.starved = true;
                    break;
                }
                Err(error) => {
                    let reason =
                        if link.shut { String::new() } else { format!("its link failed: {error}") };
                    self.fail_link(key, &reason);
                    break;
                }
            }
        }
        self.link_buffer = buffer;
    }

    fn handle_frames(&mut self, key: Key, bytes: &[u8]) -> Result<(), FrameError> {
        let mut reader = FrameReader::new(bytes);
        while let Some(frame) = reader.next()? {
            self.handle_frame(key, FromWorker::decode(frame)?)?;
        }
        if let Some(link) = self.cx.links.get_mut(key) {
            link.partial.extend_from_slice(&bytes[reader.consumed()..]);
            // Only the frame that has not come completely may have one here already. One that this process had no room for counts too, so
            // that a want of descriptors is not taken for this.
            if link.descriptors.len() > 1 {
                return Err(FrameError("descriptors without a HEAD that has the flag FD"));
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, key: Key, frame: FromWorker<'_>) -> Result<(), FrameError> {
        let Some(link) = self.cx.links.get_mut(key) else { return Ok(()) };
        match frame {
            FromWorker::Hello { encoding, concurrency, capabilities, .. } => {
                if link.state != LinkState::Connected {
                    // The worker's alone, as the two below: the core sends nothing before it.
                    return Err(FrameError("a second HELLO"));
                }
                link.state = LinkState::Greeted { concurrency };
                link.wants_closed = capabilities & CAPABILITY_CLOSED != 0;
                link.shares = capabilities & CAPABILITY_SHARED != 0;
                link.encoding = encoding;
                self.cx.greet(key);
                Ok(())
            }
            FromWorker::Ready { wishes } => {
                let LinkState::Greeted { concurrency } = link.state else {
                    return Err(FrameError("READY must come once, after HELLO"));
                };
                link.state = LinkState::Ready;
                link.number = self.cx.shared.worker_name(link.worker).number;
                link.pool.set_wishes(wishes);
                link.pool.link_ready(link.worker, concurrency, self.cx.thread);
                self.cx.shared.worker_ready(link.worker);
                self.cx.retry_waiting();
                Ok(())
            }
            _ if link.state == LinkState::Connected => {
                Err(FrameError("the first frame must be HELLO"))
            }
            FromWorker::Passing => {
                link.passing = true;
                link.send_frame(Kind::Passing, 0, 0, b"");
                self.cx.mark_link_dirty(key);
                Ok(())
            }
            FromWorker::Block { id, lines } => {
                let block = Block { facts: relay::check(lines)?, lines: lines.into() };
                link.define_block(id, block)
            }
            FromWorker::Log { stream, level, origin, request_id, request, text } => {
                let (worker, exchange) =
                    (link.worker, link.stream(stream).map(|stream| stream.exchange));
                self.cx.log_worker(worker, exchange, level, origin, (request_id, request), text);
                Ok(())
            }
            FromWorker::Head { stream, status, reason, block, lines, body, end } => {
                let open = link.open_stream(stream)?;
                open.on_head()?;
                let exchange = open.exchange;
                let block = named_block(link, block)?;
                self.cx.spend(exchange, body)?;
                if end {
                    self.end_stream(key, stream, exchange);
                }
                let result =
                    self.cx.with_connection(&mut self.connections, exchange, |connection, cx| {
                        let head = RelayedHead::new(status, reason, block.as_deref(), lines)?;
                        connection.relay_head(cx, exchange, &head, body, end)
                    });
                if result.is_err() {
                    // If the stream has ended, failing the link does not find this exchange any more.
                    self.fail_exchange(exchange, 502);
                }
                result
            }
            FromWorker::HttpHead { stream, head, body, end } => {
                let open = link.open_stream(stream)?;
                open.on_head()?;
                let exchange = open.exchange;
                self.cx.spend(exchange, body)?;
                if end {
                    self.end_stream(key, stream, exchange);
                }
                self.relay_http_head(exchange, head, body, end)
            }
            FromWorker::File { stream, status, reason, block, lines, offset, length } => {
                // One that was lost for want of descriptors here is in the queue as such.
                let fd = link
                    .descriptors
                    .pop_front()
                    .ok_or(FrameError("a HEAD with the flag FD came without a descriptor"))?;
                let open = link.open_stream(stream)?;
                open.on_head()?;
                // The word that it is went with its HEAD, and never changes.
                if open.is_narrow {
                    return Err(FrameError("a NARROW stream must not bring a descriptor"));
                }
                let exchange = open.exchange;
                let block = named_block(link, block)?;
                self.end_stream(key, stream, exchange);
                let fd = match fd {
                    Received::Descriptor(fd) => descriptors::checked(File::from(fd)).ok(),
                    Received::Lost => None,
                };
                let Some(file) = fd else {
                    // The worker did send it: this process had no descriptor left for it.
                    self.cx.log_unserved(exchange, "file descriptors have run out");
                    return self.cx.with_connection(
                        &mut self.connections,
                        exchange,
                        |connection, cx| {
                            connection.answer_unless_begun(
                                cx,
                                exchange,
                                503,
                                b"Retry-After: 1\r\n",
                            );
                            Ok(())
                        },
                    );
                };
                let result =
                    self.cx.with_connection(&mut self.connections, exchange, |connection, cx| {
                        let head = RelayedHead::new(status, reason, block.as_deref(), lines)?;
                        connection.relay_file(cx, exchange, &head, file, (offset, length))
                    });
                if result.is_err() {
                    self.fail_exchange(exchange, 502);
                }
                result
            }
            FromWorker::Info { stream, status, lines } => {
                let open = link.open_stream(stream)?;
                open.on_informational()?;
                let exchange = open.exchange;
                self.cx.with_connection(&mut self.connections, exchange, |connection, cx| {
                    connection.relay_informational(cx, exchange, status, lines)
                })
            }
            FromWorker::Data { stream, body, end } => {
                let open = link.open_stream(stream)?;
                open.on_body()?;
                let exchange = open.exchange;
                self.cx.spend(exchange, body)?;
                self.relay_data(key, stream, exchange, body, end)
            }
            FromWorker::Trailers { stream, lines } => {
                let open = link.open_stream(stream)?;
                open.on_trailers()?;
                let exchange = open.exchange;
                self.cx.with_connection(&mut self.connections, exchange, |connection, cx| {
                    connection.relay_trailers(cx, exchange, lines);
                    Ok(())
                })
            }
            FromWorker::End { stream } => {
                let open = link.open_stream(stream)?;
                open.on_body()?;
                let exchange = open.exchange;
                self.relay_data(key, stream, exchange, b"", true)
            }
            FromWorker::Closed { stream } => {
                let exchange = link.open_stream(stream)?.exchange;
                if let Some(exchange) = self.cx.exchanges.get_mut(exchange) {
                    exchange.keep_alive = false;
                }
                Ok(())
            }
            FromWorker::Reset { stream, reason } => {
                let exchange = link.open_stream(stream)?.exchange;
                self.end_stream(key, stream, exchange);
                if reason == ResetReason::ClientGone as u32 {
                    // The application hung up, as one that owns its socket can.
                    self.cx.with_connection(&mut self.connections, exchange, |connection, cx| {
                        connection.break_off(cx, exchange);
                        Ok(())
                    })
                } else {
                    self.fail_exchange(exchange, 500);
                    Ok(())
                }
            }
            FromWorker::Credit { stream, bytes } => {
                let exchange = link.open_stream(stream)?.exchange;
                self.grant_upload(exchange, bytes)
            }
        }
    }

    /// The worker takes more of a request body. One that it has whole, or that has ended, needs no credit.
    fn grant_upload(&mut self, key: Key, bytes: u32) -> Result<(), FrameError> {
        let Some(exchange) = self.cx.exchanges.get_mut(key) else { return Ok(()) };
        let RequestBody::Streamed(upload) = &mut exchange.body else { return Ok(()) };
        // The worker grants what its application has read; how fast the client sends has no part in it.
        upload.credit = upload
            .credit
            .checked_add(bytes)
            .ok_or(FrameError("more than 4 GiB of credit for a request body"))?;
        self.cx.with_connection(&mut self.connections, key, |connection, cx| {
            connection.on_upload_credit(cx, key);
            Ok(())
        })
    }

    /// A head that an application wrote itself: what is wrong with it is the application's fault and not the worker's.
    fn relay_http_head(
        &mut self,
        exchange: Key,
        head: &[u8],
        body: &[u8],
        end: bool,
    ) -> Result<(), FrameError> {
        let mut lines = self.cx.buffers.take();
        let mut fault = None;
        let result = self.cx.with_connection(&mut self.connections, exchange, |connection, cx| {
            match RelayedHead::parse(head, &mut lines) {
                Ok(head) => connection.relay_head(cx, exchange, &head, body, end),
                Err(error) => {
                    fault = Some(error);
                    Ok(())
                }
            }
        });
        self.cx.buffers.give(lines);
        if let Some(error) = fault {
            self.cx.log_error(&format!(
                "An application's response was not sent; the client got a 500: {error}."
            ));
            self.cx.reset_stream(exchange);
            self.fail_exchange(exchange, 500);
        } else if result.is_err() {
            self.fail_exchange(exchange, 502);
        }
        result
    }

    fn relay_data(
        &mut self,
        link: Key,
        stream: u32,
        exchange: Key,
        body: &[u8],
        end: bool,
    ) -> Result<(), FrameError> {
        if end {
            self.end_stream(link, stream, exchange);
        }
        self.cx.with_connection(&mut self.connections, exchange, |connection, cx| {
            connection.relay_body(cx, exchange, body, end);
            Ok(())
        })
    }

    /// Tells the client, if there is one, that its response can't be had.
    pub(super) fn fail_exchange(&mut self, key: Key, status: u16) {
        // The closure does not fail.
        let _ = self.cx.with_connection(&mut self.connections, key, |connection, cx| {
            connection.relay_failure(cx, key, status);
            Ok(())
        });
    }

    /// The worker is done with a stream: its slot is free. The client may still wait for what it sent last.
    fn end_stream(&mut self, key: Key, stream: u32, exchange: Key) {
        let cx = &mut self.cx;
        let Some(link) = cx.links.get_mut(key) else { return };
        link.end_stream(stream);
        let worker = link.worker;
        let next = link.pool.release(worker);
        if link.ending && link.streams.is_empty() {
            cx.mark_link_dirty(key);
        }
        if let Some(open) = cx.exchanges.get_mut(exchange) {
            open.stream = None;
            if let Some(log) = &mut open.log {
                log.done = Some(cx.clock.now());
            }
            if open.connection.is_none() {
                exchange::release(&mut cx.exchanges, exchange, &mut cx.buffers);
            }
        }
        if let Some(next) = next {
            cx.hand_slot_over(worker, next);
        }
    }

    /// The link is at its end. Requests that the worker had not begun go to another one; the others fail.
    pub(crate) fn fail_link(&mut self, key: Key, reason: &str) {
        let Some(link) = self.cx.links.remove(key) else { return };
        let shared = Rc::clone(&self.cx.shared);
        self.cx.epoll.remove(link.fd.as_fd());
        self.cx.worker_links.remove(&link.worker);
        if link.shut && link.streams.is_empty() {
            // As it was to be. What it has on its other links goes on.
            if shared.link_ended(link.worker) {
                link.pool.remove(link.worker);
            }
            return;
        }
        link.pool.remove(link.worker);
        if shared.worker_gone(link.worker, reason) {
            for mailbox in &shared.mailboxes {
                mailbox.post(Message::WorkerGone { worker: link.worker });
            }
        }
        // Put back at the head of the queue one by one: the latest first, so that they keep their order.
        let mut streams: Vec<_> = link.streams.iter().map(|(_, stream)| *stream).collect();
        streams.sort_by_key(|stream| link.age(stream.sequence));
        for stream in streams {
            let Some(exchange) = self.cx.exchanges.get_mut(stream.exchange) else { continue };
            exchange.stream = None;
            if exchange.connection.is_none() {
                exchange::release(&mut self.cx.exchanges, stream.exchange, &mut self.cx.buffers);
            } else if exchange.response.state == ResponseState::Awaited
                && !link.begun(stream.sequence)
                && exchange.body.rewind()
            {
                exchange.waiting = true;
                exchange.since_ms = self.cx.clock.ms();
                self.cx.waiting += 1;
                link.pool.put_back(Waiting { thread: self.cx.thread, exchange: stream.exchange });
            } else {
                self.fail_exchange(stream.exchange, 502);
            }
        }
        self.cx.retry_waiting();
    }
}

impl Context {
    fn greet(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            let mut payload = Vec::new();
            for value in [VERSION, WINDOW, u32::from(link.pool.multiprocess), 0] {
                payload.extend_from_slice(&value.to_le_bytes());
            }
            payload.extend_from_slice(&link.pool.static_environ);
            link.send_frame(Kind::Hello, 0, 0, &payload);
            self.mark_link_dirty(key);
        }
    }

    fn spend(&mut self, exchange: Key, body: &[u8]) -> Result<(), FrameError> {
        self.exchanges
            .get_mut(exchange)
            .map_or(Ok(()), |exchange| exchange.spend_credit(body.len()))
    }

    /// A request that its worker takes too long for.
    pub(super) fn log_late(&self, key: Key, worker: u32) {
        let Some(exchange) = self.exchanges.get(key) else { return };
        let view = HeadView::new(&exchange.head);
        let seconds = exchange
            .generation
            .pool_of(exchange.mount)
            .map_or(0.0, |pool| pool.config.request_timeout_ms as f64 / 1000.0);
        self.shared.logger.record(&Record {
            level: Level::Error,
            event: "request-timeout",
            text: &format!("no response after {seconds} s; the client got a 504"),
            worker: Some(self.shared.worker_name(worker)),
            request_id: exchange.id.as_ref().map(RequestId::bytes),
            request: Some((view.piece(Piece::Method), view.piece(Piece::Target))),
            ..Record::default()
        });
    }

    fn log_worker(
        &mut self,
        worker: u32,
        exchange: Option<Key>,
        level: LogLevel,
        origin: LogOrigin,
        (request_id, named): (Option<&[u8]>, Option<RequestLine<'_>>),
        text: &[u8],
    ) {
        let exchange = exchange.and_then(|key| self.exchanges.get(key));
        let request = exchange.map(|exchange| HeadView::new(&exchange.head));
        let (event, stream) = match (origin, level) {
            (LogOrigin::Stdout, _) => ("output", Some("stdout")),
            (LogOrigin::Stderr, _) => ("output", Some("stderr")),
            (LogOrigin::WsgiErrors, _) => ("output", Some("wsgi.errors")),
            (LogOrigin::Uncaught, _) => ("uncaught-error", None),
            (LogOrigin::Worker, LogLevel::Error) => ("application-error", None),
            (LogOrigin::Worker, _) => ("application", None),
        };
        let level = match level {
            LogLevel::Error => Level::Error,
            LogLevel::Warning => Level::Warn,
            LogLevel::Information => Level::Info,
            LogLevel::Debug => Level::Debug,
        };
        let id = exchange.and_then(|exchange| exchange.id.as_ref());
        self.shared.logger.record(&Record {
            level,
            event,
            text: &String::from_utf8_lossy(text),
            worker: Some(self.shared.worker_name(worker)),
            stream,
            // Without ids a worker can only have what some client sent.
            request_id: id.map(RequestId::bytes).or(request_id.filter(|_| !self.ids.is_off())),
            request: request
                .map(|view| (view.piece(Piece::Method), view.piece(Piece::Target)))
                .or(named),
            ..Record::default()
        });
    }
}

fn named_block(link: &Link, id: u16) -> Result<Option<Rc<Block>>, FrameError> {
    match id {
        0 => Ok(None),
        id => match link.block(id) {
            Some(block) => Ok(Some(block)),
            // The core forgets none.
            None => Err(FrameError("HEAD names a block that is not defined")),
        },
    }
}

/// What the threads tell the embedder about workers, once each.
impl crate::server::Shared {
    fn worker_ready(&self, worker: u32) {
        let ready = self.workers().get_mut(&worker).is_some_and(|state| {
            state.links_ready += 1;
            state.links_ready == self.mailboxes.len()
        });
        if ready {
            (self.on_event)(Event::WorkerReady { worker });
        }
    }

    /// What operators know the worker by; its id where nobody has said it.
    fn worker_name(&self, worker: u32) -> WorkerName {
        let name = self.workers().get(&worker).and_then(|state| state.name);
        name.unwrap_or(WorkerName { number: worker, pid: 0 })
    }

    /// A link that was to end has ended. Gives whether it was the worker's last.
    fn link_ended(&self, worker: u32) -> bool {
        let mut workers = self.workers();
        let Some(state) = workers.get_mut(&worker) else { return false };
        state.links_ended += 1;
        if state.links_ended < self.mailboxes.len() {
            return false;
        }
        drop(workers);
        self.worker_gone(worker, "")
    }

    /// `true` for the first thread that notices.
    fn worker_gone(&self, worker: u32, reason: &str) -> bool {
        let first = self.workers().remove(&worker).is_some();
        if first {
            (self.on_event)(Event::WorkerGone { worker, reason: reason.to_owned() });
        }
        first
    }
}
