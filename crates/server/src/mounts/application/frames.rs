//! From the workers to the clients: a link's beginning and end, and the frames that come over it.

use super::Applications;
use super::link::{Block, Link, LinkState};
use super::relay::{check, parsed, relay_file, relayed};
use crate::exchange::answer::Answer;
use crate::exchange::responder::Responder;
use crate::exchange::seam::{Client, Clients};
use crate::exchange::turn::Turn;
use crate::exchange::{RequestBody, deliver};
use crate::pools::memory::WorkerMemory;
use crate::pools::{Pool, Waiting};
use crate::request_id::RequestId;
use crate::shared::message::Message;
use gwanmun_gateway::frame::{FrameError, FrameReader, Kind, ResetReason};
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_gateway::response::{FromWorker, LogLevel, LogOrigin, RequestLine};
use gwanmun_gateway::{CAPABILITY_CLOSED, CAPABILITY_SHARED, VERSION, WINDOW};
use gwanmun_http1::ResponseHeadError;
use gwanmun_log::{Level, Record};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll::{Readiness, Token};
use gwanmun_sys::descriptors::{self, is_exhaustion};
use gwanmun_sys::passing::{Received, receive_with_fds};
use gwanmun_sys::syscall::{self, Transfer};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

impl Applications {
    /// A new worker's link to this thread.
    pub(crate) fn add_link(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        worker: u32,
        pool: Arc<Pool>,
        fd: OwnedFd,
        memory: Arc<WorkerMemory>,
    ) {
        let slot = turn.thread;
        let key = self.links.insert_with(|_| Link::new(worker, pool, fd, memory, slot));
        self.worker_links.insert(worker, key);
        if let Some(link) = self.links.get(key)
            && let Err(error) = turn.epoll.add_input_edges(link.fd.as_fd(), Token::Link(key))
        {
            self.fail_link(turn, clients, key, &format!("the link can't be watched: {error}"));
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
        if let Some(&key) = self.worker_links.get(&worker) {
            self.mark_link_dirty(key);
        }
    }

    /// The worker is gone: what it had sent is read, and then the link ends, even if another process holds its other side.
    pub(crate) fn hang_up(&mut self, turn: &mut Turn, clients: &mut impl Clients, worker: u32) {
        let Some(&key) = self.worker_links.get(&worker) else { return };
        let Some(link) = self.links.get(key) else { return };
        // A socket pair has no reason to refuse; if it did, the end of file would tell.
        let _ = syscall::shutdown_both(link.fd.as_fd());
        self.read_link(turn, clients, key, true);
    }

    fn link_to(&mut self, worker: u32) -> Option<&mut Link> {
        let key = *self.worker_links.get(&worker)?;
        self.links.get_mut(key)
    }

    pub(crate) fn on_link_event(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        readiness: Readiness,
    ) {
        let at_end = readiness.read_closed || readiness.gone;
        if readiness.readable || at_end {
            self.read_link(turn, clients, key, at_end);
        }
        if readiness.writable {
            self.mark_link_dirty(key);
        }
    }

    /// Writes what is queued for a link.
    pub(crate) fn flush_link(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.dirty = false;
        let Ok(all) = link.flush() else {
            self.read_link(turn, clients, key, true);
            return;
        };
        if link.blocked == all {
            link.blocked = !all;
            // For a watched descriptor this fails only for want of memory; the link's next frames try again.
            let _ = turn.epoll.watch_output(link.fd.as_fd(), Token::Link(key), !all);
        }
        if all && !link.held_back.is_empty() {
            for exchange in std::mem::take(&mut link.held_back) {
                let has_credit = turn.exchanges.get(exchange).is_some_and(|exchange| {
                    matches!(exchange.body, RequestBody::Streamed(upload) if upload.credit > 0)
                });
                // Else it has no room before its worker grants some.
                if has_credit {
                    turn.with_client(clients, exchange, |client, turn| {
                        client.on_room(turn, exchange);
                    });
                }
            }
        }
        let Some(link) = self.links.get_mut(key) else { return };
        if all && link.ending && link.streams.is_empty() && !link.shut {
            link.shut = true;
            // An error means that the worker is gone already, which reading will tell.
            let _ = syscall::shutdown_write(link.fd.as_fd());
        }
    }

    /// Links to which the kernel had no memory, or no room for descriptors on their way, are tried again.
    pub(crate) fn retry_starved(&mut self, turn: &mut Turn, clients: &mut impl Clients) {
        for key in self.links.keys() {
            if let Some(link) = self.links.get_mut(key)
                && std::mem::take(&mut link.starved)
            {
                self.mark_link_dirty(key);
                self.read_link(turn, clients, key, false);
            }
        }
    }

    /// Receives and handles frames until the link has no more. `at_end`: the worker has closed it, which no further event
    /// will tell, so that the end must be read too.
    fn read_link(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key, at_end: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(link) = self.links.get_mut(key) {
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
                    if let Err(error) =
                        self.handle_frames(turn, clients, key, &buffer[..kept + count])
                    {
                        // Its exit will say nothing of this: it only sees its links end.
                        let name = turn.shared.worker_name(worker);
                        turn.shared.logger.record(&Record {
                            level: Level::Error,
                            event: "worker-protocol",
                            text: &format!(
                                "worker {} broke the gateway protocol: {error}.",
                                name.number
                            ),
                            worker: Some(name),
                            ..Record::default()
                        });
                        self.fail_link(
                            turn,
                            clients,
                            key,
                            &format!("it broke the gateway protocol: {error}"),
                        );
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
                    self.fail_link(turn, clients, key, reason);
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
                    self.fail_link(turn, clients, key, &reason);
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    fn handle_frames(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        bytes: &[u8],
    ) -> Result<(), FrameError> {
        let mut reader = FrameReader::new(bytes);
        while let Some(frame) = reader.next()? {
            self.handle_frame(turn, clients, key, FromWorker::decode(frame)?)?;
        }
        if let Some(link) = self.links.get_mut(key) {
            link.partial.extend_from_slice(&bytes[reader.consumed()..]);
            // Only the frame that has not come completely may have one here already. One that this process had no room for counts too, so
            // that a want of descriptors is not taken for this.
            if link.descriptors.len() > 1 {
                return Err(FrameError("descriptors without a HEAD that has the flag FD"));
            }
        }
        Ok(())
    }

    fn handle_frame(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        frame: FromWorker<'_>,
    ) -> Result<(), FrameError> {
        let Some(link) = self.links.get_mut(key) else { return Ok(()) };
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
                self.greet(key);
                Ok(())
            }
            FromWorker::Ready { wishes } => {
                let LinkState::Greeted { concurrency } = link.state else {
                    return Err(FrameError("READY must come once, after HELLO"));
                };
                link.state = LinkState::Ready;
                link.number = turn.shared.worker_name(link.worker).number;
                link.pool.set_wishes(wishes);
                link.pool.link_ready(link.worker, concurrency, turn.thread);
                turn.shared.worker_ready(link.worker);
                self.retry_waiting(turn);
                Ok(())
            }
            _ if link.state == LinkState::Connected => {
                Err(FrameError("the first frame must be HELLO"))
            }
            FromWorker::Passing => {
                link.passing = true;
                link.send_frame(Kind::Passing, 0, 0, b"");
                self.mark_link_dirty(key);
                Ok(())
            }
            FromWorker::Block { id, lines } => {
                let block = Block { facts: check(lines)?, lines: lines.into() };
                link.define_block(id, block)
            }
            FromWorker::Log { stream, level, origin, request_id, request, text } => {
                let (worker, exchange) =
                    (link.worker, link.stream(stream).map(|stream| stream.exchange));
                log_worker(turn, worker, exchange, level, origin, (request_id, request), text);
                Ok(())
            }
            FromWorker::Head { stream, status, reason, block, lines, body, end } => {
                let open = link.open_stream(stream)?;
                open.on_head()?;
                let exchange = open.exchange;
                let block = named_block(link, block)?;
                spend(turn, exchange, body)?;
                if end {
                    self.end_stream(turn, key, stream, exchange);
                }
                let result = turn.with_client(clients, exchange, |client, turn| {
                    let head = relayed(status, reason, block.as_deref(), lines)?;
                    deliver::head(turn, client, exchange, &head, body, end);
                    Ok(())
                });
                let result = result.unwrap_or(Ok(()));
                if result.is_err() {
                    // If the stream has ended, failing the link does not find this exchange any more.
                    deliver::fail(turn, clients, exchange, 502);
                }
                result
            }
            FromWorker::HttpHead { stream, head, body, end } => {
                let open = link.open_stream(stream)?;
                open.on_head()?;
                let exchange = open.exchange;
                spend(turn, exchange, body)?;
                if end {
                    self.end_stream(turn, key, stream, exchange);
                }
                self.relay_http_head(turn, clients, exchange, (head, body, end))
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
                self.end_stream(turn, key, stream, exchange);
                let fd = match fd {
                    Received::Descriptor(fd) => descriptors::checked(File::from(fd)).ok(),
                    Received::Lost => None,
                };
                let Some(file) = fd else {
                    // The worker did send it: this process had no descriptor left for it.
                    turn.log_unserved(exchange, "file descriptors have run out");
                    turn.with_client(clients, exchange, |client, turn| {
                        turn.answer_unless_begun(client, exchange, Answer::unavailable());
                    });
                    return Ok(());
                };
                let result = turn.with_client(clients, exchange, |client, turn| {
                    let head = relayed(status, reason, block.as_deref(), lines)?;
                    relay_file(turn, client, exchange, &head, file, (offset, length))
                });
                let result = result.unwrap_or(Ok(()));
                if result.is_err() {
                    deliver::fail(turn, clients, exchange, 502);
                }
                result
            }
            FromWorker::Info { stream, status, lines } => {
                let open = link.open_stream(stream)?;
                open.on_informational()?;
                let exchange = open.exchange;
                let result = turn.with_client(clients, exchange, |client, turn| {
                    check(lines)?;
                    deliver::informational(turn, client, exchange, status, lines);
                    Ok(())
                });
                result.unwrap_or(Ok(()))
            }
            FromWorker::Data { stream, body, end } => {
                let open = link.open_stream(stream)?;
                open.on_body()?;
                let exchange = open.exchange;
                spend(turn, exchange, body)?;
                self.relay_data(turn, clients, (key, stream, exchange), body, end)
            }
            FromWorker::Trailers { stream, lines } => {
                let open = link.open_stream(stream)?;
                open.on_trailers()?;
                let exchange = open.exchange;
                deliver::trailers(turn, exchange, lines);
                Ok(())
            }
            FromWorker::End { stream } => {
                let open = link.open_stream(stream)?;
                open.on_body()?;
                let exchange = open.exchange;
                self.relay_data(turn, clients, (key, stream, exchange), b"", true)
            }
            FromWorker::Closed { stream } => {
                let exchange = link.open_stream(stream)?.exchange;
                if let Some(exchange) = turn.exchanges.get_mut(exchange) {
                    exchange.keep_alive = false;
                }
                Ok(())
            }
            FromWorker::Reset { stream, reason } => {
                let exchange = link.open_stream(stream)?.exchange;
                self.end_stream(turn, key, stream, exchange);
                if reason == ResetReason::ClientGone as u32 {
                    // The application hung up, as one that owns its socket can.
                    turn.with_client(clients, exchange, |client, turn| {
                        deliver::abort(turn, client, exchange);
                    });
                } else {
                    deliver::fail(turn, clients, exchange, 500);
                }
                Ok(())
            }
            FromWorker::Credit { stream, bytes } => {
                let exchange = link.open_stream(stream)?.exchange;
                grant_upload(turn, clients, exchange, bytes)
            }
        }
    }

    /// A head that an application wrote itself: what is wrong with it is the application's fault and not the worker's.
    fn relay_http_head(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        exchange: Key,
        (head, body, end): (&[u8], &[u8], bool),
    ) -> Result<(), FrameError> {
        let mut lines = turn.buffers.take();
        let fault = turn.with_client(clients, exchange, |client, turn| {
            let head = parsed(head, &mut lines)?;
            deliver::head(turn, client, exchange, &head, body, end);
            Ok::<_, ResponseHeadError>(())
        });
        turn.buffers.give(lines);
        if let Some(Err(error)) = fault {
            turn.log_error(&format!(
                "An application's response was not sent; the client got a 500: {error}."
            ));
            self.reset_stream(turn, exchange);
            deliver::fail(turn, clients, exchange, 500);
        }
        Ok(())
    }

    fn relay_data(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        (link, stream, exchange): (Key, u32, Key),
        body: &[u8],
        end: bool,
    ) -> Result<(), FrameError> {
        if end {
            self.end_stream(turn, link, stream, exchange);
        }
        turn.with_client(clients, exchange, |client, turn| {
            deliver::part(turn, client, exchange, body, end);
        });
        Ok(())
    }

    /// The worker is done with a stream: its slot is free. The client may still wait for what it sent last.
    fn end_stream(&mut self, turn: &mut Turn, key: Key, stream: u32, exchange: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.end_stream(stream);
        let worker = link.worker;
        let next = link.pool.release(worker);
        if link.ending && link.streams.is_empty() {
            self.mark_link_dirty(key);
        }
        if let Some(open) = turn.exchanges.get_mut(exchange) {
            open.responder = Responder::None;
            if let Some(log) = &mut open.log {
                log.done = Some(turn.clock.now());
            }
            if open.client.is_none() {
                turn.release(exchange);
            }
        }
        if let Some(next) = next {
            self.hand_slot_over(turn, worker, next);
        }
    }

    /// The link is at its end. Requests that the worker had not begun go to another one; the others fail.
    pub(crate) fn fail_link(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        reason: &str,
    ) {
        let Some(link) = self.links.remove(key) else { return };
        let shared = Rc::clone(&turn.shared);
        turn.epoll.remove(link.fd.as_fd());
        self.worker_links.remove(&link.worker);
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
            let Some(exchange) = turn.exchanges.get_mut(stream.exchange) else { continue };
            exchange.responder = Responder::None;
            if exchange.client.is_none() {
                turn.release(stream.exchange);
            } else if exchange.is_awaited()
                && !link.begun(stream.sequence)
                && exchange.body.rewind()
            {
                exchange.responder = Responder::Queued { since_ms: turn.clock.ms() };
                self.waiting += 1;
                link.pool.put_back(Waiting { thread: turn.thread, exchange: stream.exchange });
            } else {
                deliver::fail(turn, clients, stream.exchange, 502);
            }
        }
        self.retry_waiting(turn);
    }
}

impl Applications {
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
}

/// Takes body bytes off a worker's credit.
fn spend(turn: &mut Turn, exchange: Key, body: &[u8]) -> Result<(), FrameError> {
    let worker =
        turn.exchanges.get_mut(exchange).and_then(|exchange| exchange.responder.worker_mut());
    let Some(worker) = worker else { return Ok(()) };
    worker.ahead.credit = worker
        .ahead
        .credit
        .checked_sub(body.len() as u32)
        // The core takes no credit back, and a request that goes to another worker begins with a whole window.
        .ok_or(FrameError("more body bytes than the stream had credit for"))?;
    Ok(())
}

/// The worker takes more of a request body. One that it has whole, or that has ended, needs no credit.
fn grant_upload(
    turn: &mut Turn,
    clients: &mut impl Clients,
    key: Key,
    bytes: u32,
) -> Result<(), FrameError> {
    let Some(exchange) = turn.exchanges.get_mut(key) else { return Ok(()) };
    let RequestBody::Streamed(upload) = &mut exchange.body else { return Ok(()) };
    // The worker grants what its application has read; how fast the client sends has no part in it.
    upload.credit = upload
        .credit
        .checked_add(bytes)
        .ok_or(FrameError("more than 4 GiB of credit for a request body"))?;
    turn.with_client(clients, key, |client, turn| client.on_room(turn, key));
    Ok(())
}

fn log_worker(
    turn: &Turn,
    worker: u32,
    exchange: Option<Key>,
    level: LogLevel,
    origin: LogOrigin,
    (request_id, named): (Option<&[u8]>, Option<RequestLine<'_>>),
    text: &[u8],
) {
    let exchange = exchange.and_then(|key| turn.exchanges.get(key));
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
    turn.shared.logger.record(&Record {
        level,
        event,
        text: &String::from_utf8_lossy(text),
        worker: Some(turn.shared.worker_name(worker)),
        stream,
        // Without ids a worker can only have what some client sent.
        request_id: id.map(RequestId::bytes).or(request_id.filter(|_| !turn.ids.is_off())),
        request: request
            .map(|view| (view.piece(Piece::Method), view.piece(Piece::Target)))
            .or(named),
        ..Record::default()
    });
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
