//! What the head of a response says, whoever answers and whichever protocol carries it.

use super::Exchange;
use crate::filters::head::{ResponseHead, is_field};
use gwanmun_reactor::clock::Clock;

impl Exchange {
    /// Writes the fields of a response's head as lines: what answers has said, what the filters add, and what the core says of every response. How
    /// the body is framed, and whether the connection goes on, is for the protocol to say.
    #[inline]
    pub(crate) fn write_fields(&self, out: &mut Vec<u8>, clock: &Clock, head: &ResponseHead<'_>) {
        let facts = head.facts;
        let start = out.len();
        if !facts.has_date {
            out.extend_from_slice(clock.date_line());
        }
        if !facts.has_server {
            out.extend_from_slice(&self.generation.server_line);
        }
        if head.status == 204 && facts.content_length.is_some() {
            // RFC 9110 §8.6: a 204 has no Content-Length (W58).
            for line in head.each_line().filter(|line| !is_field(line, b"content-length")) {
                out.extend_from_slice(line);
            }
        } else {
            head.lines.into_iter().for_each(|lines| out.extend_from_slice(lines));
        }
        if let Some(length) = head.length {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(head.added);
        // An id of the application's own choice stays.
        if let Some(id) = &self.id
            && !facts.has_request_id
        {
            id.write_line(out);
        }
        if self.is_hsts && !facts.has_hsts {
            out.extend_from_slice(&self.generation.hsts_line);
        }
        if self.generation.has_rules {
            self.apply_rules(out, start);
        }
    }

    /// What the configuration says of all heads comes last, so that it holds for whatever was said before.
    #[cold]
    fn apply_rules(&self, out: &mut Vec<u8>, start: usize) {
        let mount = self.generation.mounts.get(self.mount);
        mount.map_or(&self.generation.header_rules, |mount| &mount.header_rules).apply(out, start);
        if let Some(admission) = &self.admission {
            out.extend_from_slice(&admission.granted);
        }
    }
}
