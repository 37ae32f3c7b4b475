//! What a thread says of its requests.

use super::Context;
use super::arena::Key;
use crate::exchange::ResponseState;
use crate::log::{AccessDetails, AccessRecord, Level, Record};
use crate::request_id::RequestId;
use crate::server::Event;
use std::time::SystemTime;

impl Context {
    pub(crate) fn log_error(&self, text: &str) {
        self.shared.logger.error(Level::Error, text);
    }

    /// A request that could not be understood: its answer is in the access log, its reason here, unless that line can say both.
    pub(crate) fn log_refusal(&mut self, remote: &str, key: Key, status: u16, why: &'static str) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.set_reason(why);
        if self.generation.tell_refusals {
            (self.shared.on_event)(Event::Refused { status, reason: why });
        }
        if self.generation.log_json {
            return;
        }
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
        if !self.generation.log_json {
            let text = format!("A request was refused with 503: {why}.");
            self.shared.logger.record(&Record {
                request_id: exchange.id.as_ref().map(RequestId::bytes),
                ..Record::of_core(Level::Error, &text)
            });
        }
    }

    /// Writes the line of an exchange that is over.
    pub(crate) fn log_access(&mut self, remote: &str, key: Key) {
        if !self.generation.log_access {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        let log = exchange.log.take();
        // A client that left before there was an answer: nginx's number for it.
        let status = if exchange.response.state == ResponseState::Awaited {
            499
        } else {
            exchange.response.status
        };
        let now = self.clock.now();
        let details = log.as_ref().map(|log| AccessDetails {
            request_id: exchange.id.as_ref().map(RequestId::bytes),
            traceparent: log.traceparent.as_deref(),
            host: log.host.as_deref(),
            mount: log.routed.then(|| exchange.generation.mounts[exchange.mount].path.as_str()),
            worker: log.worker,
            queue: log
                .complete
                .map(|complete| log.sent.unwrap_or(now).saturating_duration_since(complete)),
            application: log
                .sent
                .map(|sent| log.done.unwrap_or(now).saturating_duration_since(sent)),
            reason: log.reason,
            incomplete: exchange.response.state != ResponseState::Complete,
        });
        self.log.access(&AccessRecord {
            remote,
            user: None,
            method: log.as_ref().map_or(b"", |log| &log.method),
            target: log.as_ref().map_or(b"", |log| &log.target),
            version_minor: u8::from(!log.as_ref().is_some_and(|log| log.http10)),
            status,
            bytes: exchange.response.bytes,
            referer: log.as_ref().and_then(|log| log.referer.as_deref()),
            user_agent: log.as_ref().and_then(|log| log.user_agent.as_deref()),
            duration: now.saturating_duration_since(exchange.started),
            source: log.as_ref().map_or("core", |log| log.source.name()),
            when: SystemTime::now(),
            details: details.unwrap_or_default(),
        });
    }
}
