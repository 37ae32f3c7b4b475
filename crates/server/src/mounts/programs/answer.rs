//! From what a program writes to a response.

use crate::exchange::deliver;
use crate::exchange::seam::Clients;
use crate::exchange::turn::Turn;
use crate::filters::head::ResponseHead;
use gwanmun_cgi::response::{Head, HeadCollector, HeadError, parse};
use gwanmun_reactor::arena::Key;

/// The output of a program: a head, and behind it a body that goes on as it comes (F38).
#[derive(Debug, Default)]
pub(super) struct Output {
    head: HeadCollector,
    stage: Stage,
    /// What is to be delivered: of one receive, so that an answer that comes whole is sent whole.
    body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    /// The head is there, and not delivered.
    Complete,
    Delivered,
    /// All of it.
    Ended,
}

impl Output {
    /// # Errors
    /// The head has no end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        let mut rest = bytes;
        if self.stage == Stage::Head {
            let Some(taken) = self.head.push(bytes)? else { return Ok(()) };
            self.stage = Stage::Complete;
            rest = &bytes[taken..];
        }
        self.body.extend_from_slice(rest);
        Ok(())
    }

    /// What there is of a head that is not complete.
    pub(super) fn unfinished(&self) -> Option<&[u8]> {
        (self.stage == Stage::Head).then(|| self.head.bytes())
    }

    /// Delivers what has come. `end`: that was all. Gives the path of this server that the program has answered with, if it has.
    ///
    /// # Errors
    /// The head is none.
    pub(super) fn deliver(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        end: bool,
    ) -> Result<Option<Box<[u8]>>, HeadError> {
        let Self { head, stage, body } = self;
        if matches!(*stage, Stage::Head | Stage::Ended)
            || (*stage == Stage::Delivered && body.is_empty() && !end)
        {
            return Ok(None);
        }
        let mut may_name_files = false;
        if let Some(exchange) = turn.exchanges.get_mut(key) {
            if let Some(ahead) = exchange.responder.ahead_mut() {
                ahead.credit = ahead.credit.saturating_sub(body.len() as u32);
            }
            may_name_files = exchange.may_name_file();
        }
        if *stage == Stage::Delivered {
            turn.with_client(clients, key, |client, turn| {
                deliver::part(turn, client, key, body, end);
            });
        } else {
            *stage = Stage::Delivered;
            let head = std::mem::take(head);
            let mut lines = turn.buffers.take();
            let (status, reason, facts) = match parse(head.bytes(), may_name_files, &mut lines)? {
                Head::Document { status, reason, facts } => (status, reason, facts),
                Head::LocalRedirect(target) => return Ok(Some(target.into())),
            };
            let head = ResponseHead { reason, facts, ..ResponseHead::new(status, &lines) };
            turn.with_client(clients, key, |client, turn| {
                deliver::head(turn, client, key, &head, body, end);
            });
            turn.buffers.give(lines);
        }
        body.clear();
        if end {
            *stage = Stage::Ended;
        }
        Ok(None)
    }
}
