//! From the clients to the workers: requests wait for a free slot, cross over a link, and are given up.

use super::Applications;
use super::link::Passed;
use crate::exchange::answer::Answer;
use crate::exchange::responder::{AtWorker, Progress, Responder, StreamName};
use crate::exchange::seam::Clients;
use crate::exchange::turn::Turn;
use crate::exchange::{RequestBody, Upload, deliver};
use crate::pools::{Admission, Pool, Waiting};
use crate::request_id::RequestId;
use crate::shared::Event;
use crate::shared::message::Message;
use gwanmun_gateway::frame::{Kind, ResetReason};
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_log::{Level, Record};
use gwanmun_reactor::arena::Key;
use gwanmun_sys::syscall::Transfer;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

impl Applications {
    /// Gives a complete request to a worker, or queues it. `false`: the queue is full.
    pub(super) fn dispatch(&mut self, turn: &mut Turn, key: Key) -> bool {
        let Some(pool) = self.pool_of(turn, key) else { return false };
        let waiting = Waiting { thread: turn.thread, exchange: key };
        match pool.admit(waiting, |worker| self.usable(turn, worker)) {
            Admission::Worker(worker) => self.send_request(turn, key, worker),
            Admission::Queued => {
                self.waiting += 1;
                if let Some(exchange) = turn.exchanges.get_mut(key) {
                    exchange.responder = Responder::Queued { since_ms: turn.clock.ms() };
                }
            }
            Admission::Refused => {
                turn.log_unserved(key, "the queue for the workers is full");
                return false;
            }
        }
        true
    }

    /// Writes the request to the worker's link; the slot is reserved.
    pub(super) fn send_request(&mut self, turn: &mut Turn, key: Key, worker: u32) {
        let link_key = self.link_of(worker);
        let Some(exchange) = turn.exchanges.get_mut(key) else {
            self.release_slot(turn, worker);
            return;
        };
        let Some((link_key, link)) = link_key.and_then(|key| Some((key, self.links.get_mut(key)?)))
        else {
            // The worker died between its reservation and now.
            exchange.responder = Responder::Queued { since_ms: turn.clock.ms() };
            self.waiting += 1;
            if let Some(pool) = self.pool_of(turn, key) {
                pool.put_back(Waiting { thread: turn.thread, exchange: key });
            }
            return;
        };
        let body = match &exchange.body {
            RequestBody::None => Passed::None,
            RequestBody::Memory(bytes) => Passed::Bytes(bytes),
            RequestBody::File(body) => Passed::File(&body.file),
            RequestBody::Streamed(_) => Passed::Later,
        };
        let (narrow, now_ms) = (exchange.is_behind, turn.clock.ms());
        let stream = link.send_request(key, &exchange.head, &body, narrow, &self.names, now_ms);
        let name = StreamName { link: link_key, stream };
        exchange.responder = Responder::Worker(AtWorker::new(name, narrow, now_ms));
        if let Some(log) = &mut exchange.log {
            log.worker = link.number;
            log.sent = Some(turn.clock.now());
        }
        self.mark_link_dirty(link_key);
    }

    /// A request left the queue of its pool for a worker's slot, perhaps by another thread's doing.
    pub(crate) fn on_assigned(&mut self, turn: &mut Turn, key: Key, worker: u32) {
        match turn.exchanges.get_mut(key) {
            Some(exchange) if exchange.responder.is_queued() => {
                exchange.responder = Responder::None;
                self.waiting -= 1;
                if exchange.client.is_some() {
                    self.send_request(turn, key, worker);
                } else {
                    turn.release(key);
                    self.release_slot(turn, worker);
                }
            }
            _ => self.release_slot(turn, worker),
        }
    }

    /// Looks whether workers that seemed stuck take requests of this thread again.
    pub(crate) fn retry_waiting(&mut self, turn: &mut Turn) {
        let pools: Vec<_> = self.links.iter_mut().map(|(_, link)| Arc::clone(&link.pool)).collect();
        for pool in pools {
            while self.waiting > 0
                && let Some((next, worker)) =
                    pool.next_for(turn.thread, |worker| self.usable(turn, worker))
            {
                self.on_assigned(turn, next.exchange, worker);
            }
        }
    }

    /// The client of a queued request is gone.
    pub(super) fn forget_waiting(&mut self, turn: &mut Turn, key: Key) {
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        exchange.responder = Responder::None;
        self.waiting -= 1;
        if let Some(pool) = self.pool_of(turn, key) {
            pool.forget(Waiting { thread: turn.thread, exchange: key });
        }
        turn.release(key);
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn cancel(&mut self, turn: &mut Turn, key: Key) {
        match turn.exchanges.get(key) {
            Some(exchange) if exchange.responder.is_queued() => self.forget_waiting(turn, key),
            Some(_) => self.reset_stream(turn, key),
            None => {}
        }
    }

    /// The pool of a request's application.
    fn pool_of(&self, turn: &Turn, key: Key) -> Option<Arc<Pool>> {
        let exchange = turn.exchanges.get(key)?;
        exchange.generation.pool_of(exchange.mount).map(Arc::clone)
    }

    /// How many bytes of a streamed request body the worker takes now. 0: its client is told when that changes.
    pub(crate) fn upload_credit(&mut self, turn: &Turn, key: Key) -> usize {
        let Some(exchange) = turn.exchanges.get(key) else { return 0 };
        let RequestBody::Streamed(upload) = &exchange.body else { return 0 };
        let Some(name) = exchange.responder.stream() else { return 0 };
        match self.links.get_mut(name.link) {
            Some(link) if link.congested() => {
                if !link.held_back.contains(&key) {
                    link.held_back.push(key);
                }
                0
            }
            Some(_) => upload.credit as usize,
            None => 0,
        }
    }

    /// Passes on a piece of a streamed request body, within the worker's credit.
    pub(crate) fn send_upload(&mut self, turn: &mut Turn, key: Key, bytes: &[u8], end: bool) {
        if let Some(exchange) = turn.exchanges.get_mut(key)
            && let RequestBody::Streamed(upload) = &mut exchange.body
            && let Some(worker) = exchange.responder.worker_mut()
            && let StreamName { link, stream } = worker.name
            && let Some(open) = self.links.get_mut(link)
        {
            // It is at work on what comes.
            worker.since_ms = turn.clock.ms();
            upload.spend(bytes.len());
            open.send_body(stream, bytes, end);
            self.mark_link_dirty(link);
        }
    }

    /// Receives a piece of a streamed request body straight to where its worker sees it, within the worker's credit. `None`:
    /// it is to be received and sent.
    pub(crate) fn receive_upload(
        &mut self,
        turn: &mut Turn,
        key: Key,
        fd: BorrowedFd<'_>,
        most: usize,
        left: u64,
    ) -> Option<io::Result<Transfer>> {
        let exchange = turn.exchanges.get_mut(key)?;
        let RequestBody::Streamed(upload) = &mut exchange.body else { return None };
        let worker = exchange.responder.worker_mut()?;
        let StreamName { link, stream } = worker.name;
        let received = self.links.get_mut(link)?.receive_body(stream, fd, most, left)?;
        if let Ok(Transfer::Bytes(count @ 1..)) = received {
            // It is at work on what comes.
            worker.since_ms = turn.clock.ms();
            upload.spend(count);
            self.mark_link_dirty(link);
        }
        Some(received)
    }

    /// Tells the worker that nobody wants the response any more. The slot stays taken until the worker ends the stream.
    pub(super) fn reset_stream(&mut self, turn: &mut Turn, key: Key) {
        if let Some(exchange) = turn.exchanges.get(key)
            && let Some(StreamName { link, stream }) = exchange.responder.stream()
            && let Some(open) = self.links.get_mut(link)
        {
            let reason = match exchange.body {
                RequestBody::Streamed(Upload { refused: true, .. }) => ResetReason::Body,
                _ => ResetReason::ClientGone,
            };
            open.reset(stream, reason);
            self.mark_link_dirty(link);
        }
    }

    /// Tells the worker that the client has ended its side, and so has most likely left.
    pub(crate) fn tell_closed(&mut self, turn: &mut Turn, key: Key) {
        if let Some(StreamName { link, stream }) =
            turn.exchanges.get(key).and_then(|exchange| exchange.responder.stream())
            && let Some(open) = self.links.get_mut(link)
            && open.wants_closed
        {
            open.send_frame(Kind::Closed, stream, 0, b"");
            self.mark_link_dirty(link);
        }
    }

    /// Gives back the credit for what the client has taken, once it is worth a frame.
    pub(crate) fn grant_credit(&mut self, turn: &mut Turn, key: Key) {
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        let Some(StreamName { link, stream }) = exchange.responder.stream() else { return };
        let Some(open) = self.links.get_mut(link) else { return };
        let owed = exchange.replenish();
        if owed > 0 {
            open.send_frame(Kind::Credit, stream, owed, b"");
            self.mark_link_dirty(link);
        }
    }

    pub(super) fn mark_link_dirty(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key)
            && !link.dirty
        {
            link.dirty = true;
            self.dirty.push(key);
        }
    }

    fn link_of(&self, worker: u32) -> Option<Key> {
        self.worker_links.get(&worker).copied()
    }

    fn usable(&mut self, turn: &Turn, worker: u32) -> bool {
        let now_ms = turn.clock.ms();
        let link = self.link_of(worker).and_then(|key| self.links.get_mut(key));
        link.is_some_and(|link| !link.draining && !link.stalled(now_ms))
    }

    /// A slot of the worker that was not used is free again; a queued request may take it over.
    fn release_slot(&mut self, turn: &mut Turn, worker: u32) {
        // Without a link the worker is gone, and its slots with it.
        let Some(link) = self.link_of(worker).and_then(|key| self.links.get(key)) else { return };
        if let Some(next) = link.pool.release(worker) {
            self.hand_slot_over(turn, worker, next);
        }
    }

    /// A queued request has taken a free slot of the worker over.
    pub(super) fn hand_slot_over(&mut self, turn: &mut Turn, worker: u32, next: Waiting) {
        if next.thread == turn.thread {
            self.on_assigned(turn, next.exchange, worker);
        } else {
            turn.shared.mailboxes[next.thread]
                .post(Message::Assigned { exchange: next.exchange, worker });
        }
    }
}

impl Applications {
    /// Gives up on requests that have waited too long for a worker.
    pub(crate) fn expire_waiting(&mut self, turn: &mut Turn, clients: &mut impl Clients) {
        if self.waiting == 0 {
            return;
        }
        let now = turn.clock.ms();
        let expired: Vec<Key> = turn
            .exchanges
            .iter_mut()
            .filter(|(_, exchange)| {
                let Responder::Queued { since_ms } = exchange.responder else { return false };
                let pool = exchange.generation.pool_of(exchange.mount);
                let timeout = pool.map_or(0, |pool| pool.config.queue_timeout_ms);
                now.saturating_sub(since_ms) >= timeout
            })
            .map(|(key, _)| key)
            .collect();
        for key in expired {
            turn.log_unserved(key, "no worker was free in time");
            self.forget_waiting(turn, key);
            turn.with_client(clients, key, |client, turn| {
                turn.answer(client, key, Answer::unavailable());
            });
        }
    }

    /// Looks for requests that their workers take too long for: the client gets a 504, and the embedder is told.
    pub(crate) fn expire_running(&mut self, turn: &mut Turn, clients: &mut impl Clients) {
        let now_ms = turn.clock.ms();
        let mut late = Vec::new();
        for (key, exchange) in turn.exchanges.iter_mut() {
            let (is_left, is_awaited) = (exchange.client.is_none(), exchange.is_awaited());
            let Some(worker) = exchange.responder.worker_mut() else { continue };
            let Some(link) = self.links.get(worker.name.link) else { continue };
            let limit_ms = link.pool.config.request_timeout_ms;
            if limit_ms == 0 {
                continue;
            }
            let has_begun = link.has_begun(worker.name);
            if is_left && worker.progress < Progress::GivenUp {
                (worker.progress, worker.since_ms) = (Progress::GivenUp, now_ms);
            } else if worker.progress == Progress::Sent && has_begun {
                (worker.progress, worker.since_ms) = (Progress::Begun, now_ms);
            }
            let passed_ms = now_ms.saturating_sub(worker.since_ms);
            let is_late = match worker.progress {
                // What comes before it may take its time too; and a worker that goes leaves it to another one.
                Progress::Sent => passed_ms >= 2 * limit_ms && !link.draining,
                Progress::Begun | Progress::GivenUp => passed_ms >= limit_ms,
                Progress::Stuck => false,
            };
            if is_late && (is_awaited || worker.progress == Progress::GivenUp) {
                late.push((key, link.worker, has_begun));
            }
        }
        for (key, worker, has_begun) in late {
            self.on_late(turn, clients, key, (worker, has_begun));
        }
    }

    fn on_late(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        (worker, has_begun): (u32, bool),
    ) {
        let Some(exchange) = turn.exchanges.get_mut(key) else { return };
        let view = HeadView::new(&exchange.head);
        let [method, target] = [Piece::Method, Piece::Target]
            .map(|piece| String::from_utf8_lossy(view.piece(piece)).into_owned());
        let Some(at_worker) = exchange.responder.worker_mut() else { return };
        let stuck = at_worker.progress == Progress::GivenUp;
        if stuck {
            at_worker.progress = Progress::Stuck;
        } else {
            (at_worker.progress, at_worker.since_ms) = (Progress::GivenUp, turn.clock.ms());
            log_late(turn, key, worker);
            deliver::fail(turn, clients, key, 504);
            // It may have to wait for its turn; the worker need not.
            self.reset_stream(turn, key);
        }
        // One that it has not begun says nothing of the worker.
        if has_begun {
            let request = format!("{method} {target}");
            (turn.shared.on_event)(Event::WorkerLate { worker, request, stuck });
        }
    }
}

/// A request that its worker takes too long for.
fn log_late(turn: &Turn, key: Key, worker: u32) {
    let Some(exchange) = turn.exchanges.get(key) else { return };
    let view = HeadView::new(&exchange.head);
    let seconds = exchange
        .generation
        .pool_of(exchange.mount)
        .map_or(0.0, |pool| pool.config.request_timeout_ms as f64 / 1000.0);
    turn.shared.logger.record(&Record {
        level: Level::Error,
        event: "request-timeout",
        text: &format!("no response after {seconds} s; the client got a 504"),
        worker: Some(turn.shared.worker_name(worker)),
        request_id: exchange.id.as_ref().map(RequestId::bytes),
        request: Some((view.piece(Piece::Method), view.piece(Piece::Target))),
        ..Record::default()
    });
}
