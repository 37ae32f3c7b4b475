//! What the logs say of requests.

use super::flood::MOST_LINES;
use super::turn::Turn;
use super::{Admission, LogFields, Response, ResponseState};
use crate::generation::Generation;
use crate::request_id::RequestId;
use crate::shared::{ByThread, Event};
use gwanmun_access::UNIX;
use gwanmun_log::{AccessDetails, AccessRecord, Level, Record, TlsDetails};
use gwanmun_reactor::arena::Key;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

/// What the access log says of an exchange whose response is being sent.
#[derive(Debug)]
pub(crate) struct AccessLine {
    log: Option<Box<LogFields>>,
    admission: Option<Box<Admission>>,
    id: Option<RequestId>,
    generation: ByThread<Generation>,
    mount: usize,
    started: Instant,
    response: Response,
    /// Where its response ends in all that its client is sent.
    pub(crate) end: u64,
}

impl AccessLine {
    /// Bytes that it keeps.
    pub(crate) fn holds(&self) -> usize {
        let user = self.admission.as_ref().map_or(0, |admission| admission.user.len());
        size_of::<Self>() + self.log.as_ref().map_or(0, |log| log.copied) + user
    }
}

impl Turn {
    pub(crate) fn log_error(&self, text: &str) {
        self.shared.logger.error(Level::Error, text);
    }

    /// A request that could not be understood: its answer is in the access log, its reason here, unless that line can say both. `remote`: the address of the
    /// connection's other end.
    pub(crate) fn log_refusal(&mut self, remote: &str, key: Key, status: u16, why: &'static str) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.set_reason(why);
        if self.generation.tell_refusals {
            (self.shared.on_event)(Event::Refused { status, reason: why });
        }
        if self.generation.log_json || !self.refused.admits(self.clock.ms()) {
            return;
        }
        let client = exchange.log.as_ref().and_then(|log| log.client());
        let client = client.map(|address| address.to_string());
        let remote = client.as_deref().unwrap_or(remote);
        self.shared.logger.record(&Record {
            event: "refused",
            text: why,
            request_id: exchange.id.as_ref().map(RequestId::bytes),
            refused: Some((remote, status)),
            ..Record::default()
        });
    }

    /// No worker takes a request: its answer is in the access log, its reason here, unless that line can say both.
    pub(crate) fn log_unserved(&mut self, key: Key, why: &'static str) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.set_reason(why);
        if !self.generation.log_json && self.unserved.admits(self.clock.ms()) {
            let text = format!("A request was refused with 503: {why}.");
            self.shared.logger.record(&Record {
                request_id: exchange.id.as_ref().map(RequestId::bytes),
                ..Record::of_core(Level::Error, &text)
            });
        }
    }

    /// Whether the error log takes a line of a request that failed at a program: of many only the first ones of a second.
    pub(crate) fn may_log_failure(&mut self) -> bool {
        self.failed.admits(self.clock.ms())
    }

    /// A client is not let in, whose connection comes from `remote`.
    pub(crate) fn log_stranger(&mut self, remote: &str, why: &str) {
        if self.strangers.admits(self.clock.ms()) {
            let text = format!("A TLS connection from {remote} was refused: {why}.");
            self.shared.logger.error(Level::Warn, &text);
        }
    }

    /// Tells how many requests of the last seconds got no line, because others had so many. `is_last`: also of the second that is not over.
    pub(crate) fn log_untold(&mut self, is_last: bool) {
        let now_ms = if is_last { u64::MAX } else { self.clock.ms() };
        let Self { shared, refused, unserved, failed, strangers, .. } = self;
        for (flood, level, what) in [
            (refused, Level::default(), "requests were refused"),
            (unserved, Level::Error, "requests were refused with 503"),
            (failed, Level::Error, "requests failed at their program"),
            (strangers, Level::Warn, "clients were refused for want of a certificate"),
        ] {
            let count = flood.take_untold(now_ms);
            if count > 0 {
                let text = format!(
                    "{count} more {what}. Each thread logs at most {MOST_LINES} of them a second"
                );
                shared.logger.error(level, &text);
            }
        }
    }

    /// Takes what the access log says of an exchange. `end`: where its response ends in all that its client is sent.
    pub(crate) fn access_line(&mut self, key: Key, end: u64) -> Option<AccessLine> {
        let exchange = self.exchanges.get_mut(key)?;
        Some(AccessLine {
            log: exchange.log.take(),
            admission: exchange.admission.take_if(|admission| !admission.user.is_empty()),
            id: exchange.id.clone(),
            generation: Rc::clone(&exchange.generation),
            mount: exchange.mount,
            started: exchange.started,
            response: exchange.response,
            end,
        })
    }

    /// Writes the line of an exchange that is over. `remote`: the address of the connection's other end; `left`: bytes of its response that its client did
    /// not get.
    pub(crate) fn log_access(&mut self, remote: &str, line: AccessLine, left: u64) {
        let AccessLine { log, admission, id, generation, mount, started, response, end: _ } = line;
        // A client that left before there was an answer: nginx's number for it.
        let status = if response.state == ResponseState::Awaited { 499 } else { response.status };
        let now = self.clock.now();
        // P35.
        let client = log.as_ref().and_then(|log| log.client());
        let client = client.map(|address| address.to_string());
        let peer = client.as_deref().filter(|client| *client != remote).map(|_| match remote {
            "" => UNIX,
            address => address,
        });
        let user = admission.as_ref().map(|admission| String::from_utf8_lossy(&admission.user));
        let details = log.as_ref().map(|log| AccessDetails {
            peer,
            request_id: id.as_ref().map(RequestId::bytes),
            traceparent: log.traceparent.as_deref(),
            host: log.host.as_deref(),
            tls: log.tls.as_ref().map(|tls| TlsDetails {
                protocol: tls.protocol,
                cipher: tls.cipher,
                name: tls.name.as_deref(),
                is_resumed: tls.is_resumed,
                client_verify: tls.verify,
                client_subject: tls.subject.as_deref(),
            }),
            mount: log.routed.then(|| generation.mounts[mount].path.as_str()),
            worker: log.worker,
            queue: log
                .complete
                .map(|complete| log.sent.unwrap_or(now).saturating_duration_since(complete)),
            application: log
                .sent
                .map(|sent| log.done.unwrap_or(now).saturating_duration_since(sent)),
            reason: log.reason,
            incomplete: left > 0 || response.state != ResponseState::Complete,
        });
        self.log.access(&AccessRecord {
            remote: client.as_deref().unwrap_or(remote),
            user: user.as_deref(),
            method: log.as_ref().map_or(b"", |log| &log.method),
            target: log.as_ref().map_or(b"", |log| &log.target),
            version_minor: u8::from(!log.as_ref().is_some_and(|log| log.http10)),
            status,
            bytes: response.bytes.saturating_sub(left),
            referer: log.as_ref().and_then(|log| log.referer.as_deref()),
            user_agent: log.as_ref().and_then(|log| log.user_agent.as_deref()),
            duration: now.saturating_duration_since(started),
            source: log.as_ref().map_or("core", |log| log.source.name()),
            when: SystemTime::now(),
            details: details.unwrap_or_default(),
        });
    }
}
