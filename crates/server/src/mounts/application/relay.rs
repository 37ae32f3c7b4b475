//! A worker's response as what it is for the rest of the core: a head that has been checked, and a file that has been looked at.

use super::link::Block;
use crate::exchange::answer::Answer;
use crate::exchange::deliver;
use crate::exchange::seam::Client;
use crate::exchange::turn::Turn;
use crate::filters::head::ResponseHead;
use gwanmun_gateway::frame::FrameError;
use gwanmun_http1::response::{BlockFacts, check_block, is_reason};
use gwanmun_http1::{self as http1, ResponseHeadError, parse_response_head};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use gwanmun_sys::syscall;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A head of a block that the worker defined before, and lines of its own.
///
/// # Errors
/// The worker broke a rule of the protocol.
pub(super) fn relayed<'a>(
    status: u16,
    reason: Option<&'a [u8]>,
    block: Option<&'a Block>,
    lines: &'a [u8],
) -> Result<ResponseHead<'a>, FrameError> {
    // As a header line: the worker has checked it by the same rule.
    if reason.is_some_and(|reason| !is_reason(reason)) {
        return Err(FrameError("a reason that must not be sent"));
    }
    let of_block = block.map_or(&b""[..], |block| &block.lines);
    Ok(ResponseHead {
        reason,
        lines: [of_block, lines],
        facts: facts(block, lines)?,
        ..ResponseHead::new(status, b"")
    })
}

/// A head that a Node application's `ServerResponse` wrote. `lines` is room for what is relayed of it.
///
/// # Errors
/// The application wrote something that must not be sent.
pub(super) fn parsed<'a>(
    head: &'a [u8],
    lines: &'a mut Vec<u8>,
) -> Result<ResponseHead<'a>, ResponseHeadError> {
    let http1::ResponseHead { status, reason, facts, close, chunked } =
        parse_response_head(head, lines)?;
    if status < 200 {
        return Err(ResponseHeadError::StatusLine);
    }
    let reason = Some(reason);
    Ok(ResponseHead { reason, facts, close, chunked, ..ResponseHead::new(status, lines) })
}

/// Checks header lines from a worker. What an application gives, and with it perhaps a client, the worker has checked by the same rules: a fault is
/// the worker's alone.
///
/// # Errors
/// The worker broke a rule of the protocol.
pub(super) fn check(lines: &[u8]) -> Result<BlockFacts, FrameError> {
    check_block(lines).map_err(|_| FrameError("a header line that must not be sent"))
}

fn facts(block: Option<&Block>, lines: &[u8]) -> Result<BlockFacts, FrameError> {
    let mut facts = block.map(|block| block.facts).unwrap_or_default();
    if !lines.is_empty() {
        let own = check(lines)?;
        // As above: the worker knows what is in a block that it has defined.
        if facts.content_length.is_some() && own.content_length.is_some() {
            return Err(FrameError("two Content-Length lines"));
        }
        facts.content_length = facts.content_length.or(own.content_length);
        facts.has_date |= own.has_date;
        facts.has_server |= own.has_server;
        facts.has_content_type |= own.has_content_type;
        facts.has_request_id |= own.has_request_id;
        facts.has_hsts |= own.has_hsts;
    }
    Ok(facts)
}

/// A whole response whose body is a part of a file. None: from the descriptor's position, to the file's end.
///
/// # Errors
/// The worker broke a rule of the protocol.
pub(super) fn relay_file(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    head: &ResponseHead<'_>,
    file: File,
    (offset, length): (Option<u64>, Option<u64>),
) -> Result<(), FrameError> {
    if turn.exchanges.get(key).is_none_or(|exchange| !exchange.is_awaited()) {
        return Ok(());
    }
    let (file, identity) = turn.hold_passed(file);
    let position = || offset.map_or_else(|| position(&file), Ok);
    let (size, offset) = match (identity, position()) {
        (Ok(Some(identity)), Ok(offset)) => (identity.size, offset),
        (Ok(None), Ok(_)) => {
            // What kind it is does not change after it was opened.
            return Err(FrameError("a response's descriptor must be a regular file"));
        }
        (Err(error), _) | (_, Err(error)) => {
            turn.log_error(&format!("A file that an application returned can't be read: {error}."));
            turn.answer(client, key, Answer::page(500));
            return Ok(());
        }
    };
    let there = size.saturating_sub(offset);
    let part = length.map_or(there, |length| length.min(there));
    deliver::file(turn, client, key, head, file, (offset, part));
    Ok(())
}

/// Where the next read of a worker's file would begin. Where the kernel does not tell whether a read waits, it is taken from what it tells of the
/// process: `lseek` waits while the worker reads.
fn position(file: &HeldFile) -> io::Result<u64> {
    if !file.waits() {
        return syscall::position(file.as_fd());
    }
    let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let position = facts.lines().find_map(|line| line.strip_prefix("pos:"));
    position
        .and_then(|position| position.trim().parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
