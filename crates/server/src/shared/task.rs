//! Requests of the core's own to one of its mounts, without a socket: what is asked, and how the answer comes.

use super::Shared;
use super::message::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What is asked.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    pub method: String,
    /// In origin form: a path, and perhaps a query.
    pub target: String,
    /// Further fields; Host and Content-Length are said by the core.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How long the whole answer may take.
    pub timeout: Duration,
}

/// A part of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `lines` are header lines, each with its line end.
    Head {
        status: u16,
        reason: Vec<u8>,
        lines: Vec<u8>,
    },
    Body(Vec<u8>),
    /// The last one. `complete`: it is the end of the whole answer, else of what there could be had of it.
    End {
        complete: bool,
    },
}

/// The answer, as it comes. No more of it is fetched than is taken; dropping it cancels the request.
pub struct TaskAnswer {
    shared: Arc<Shared>,
    thread: usize,
    id: u64,
    parts: Receiver<Part>,
    give_up: Instant,
    is_over: bool,
}

/// What the thread gets that asks.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) id: u64,
    /// As HTTP/1 has it.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Duration,
    pub(crate) parts: Sender<Part>,
}

/// A thread that is busy may take a moment longer to say that the time is up.
const GRACE: Duration = Duration::from_secs(5);

impl TaskAnswer {
    pub(crate) fn of(shared: &Arc<Shared>, request: TaskRequest) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let thread = id as usize % shared.mailboxes.len();
        let (sender, parts) = channel();
        let TaskRequest { method, target, headers, body, timeout } = request;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            head.extend([&*name, ": ", &*value, "\r\n"]);
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let head = head.into_bytes();
        let order = Order { id, head, body, timeout, parts: sender };
        shared.mailboxes[thread].post(Message::Ask(Box::new(order)));
        let give_up = Instant::now() + timeout + GRACE;
        Self { shared: Arc::clone(shared), thread, id, parts, give_up, is_over: false }
    }
}

/// Waits for each part. The last one is [`Part::End`].
impl Iterator for TaskAnswer {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if self.is_over {
            return None;
        }
        let left = self.give_up.saturating_duration_since(Instant::now());
        let part = match self.parts.recv_timeout(left) {
            Ok(part) => part,
            // The thread that asked has panicked, or hangs.
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                Part::End { complete: false }
            }
        };
        match &part {
            Part::Head { .. } => {}
            Part::Body(bytes) => {
                let message = Message::AnswerTaken { id: self.id, bytes: bytes.len() };
                self.shared.mailboxes[self.thread].post(message);
            }
            Part::End { .. } => self.is_over = true,
        }
        Some(part)
    }
}

impl Drop for TaskAnswer {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.mailboxes[self.thread].post(Message::AnswerDropped { id: self.id });
        }
    }
}
