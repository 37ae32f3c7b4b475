//! A response on its way from what answers to who has asked: in the order of its parts, through the filters, and never more nor less than was announced.

use super::answer::Answer;
use super::seam::{Body, Client, Clients, Note};
use super::turn::Turn;
use super::{Exchange, Response, ResponseState};
use crate::filters::compress::{
    Compressed, Compression, LARGE, Plan, Short, Work, accepted, compress, is_compressible,
    is_out_of_question, lines_for_coding, take_announced,
};
use crate::filters::head::ResponseHead;
use crate::shared::message::Message;
use gwanmun_files::compression::{Encoder, MOST_MEMORY};
use gwanmun_gateway::request::HeadView;
use gwanmun_http1::response::{BlockFacts, body_allowed, check_trailers};
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use std::borrow::Cow;
use std::io;
use std::sync::Arc;

const VARY: &[u8] = b"Vary: Accept-Encoding\r\n";

/// The head of a response with the first, perhaps only, part of its body. It comes too late if the client has got an answer of the core's already, or is
/// going to.
pub(crate) fn head(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    head: &ResponseHead<'_>,
    body: &[u8],
    end: bool,
) {
    if is_taken_over(turn, client, key, head) {
        return;
    }
    let known = if end && !head.chunked { Some(body.len() as u64) } else { None };
    if is_out_of_question(head, known) && head.status != 304 {
        begin(turn, client, key, head, known, (body, end));
        return;
    }
    pack_or_begin(turn, client, key, head, known, (body, end));
}

/// As above, for a response that may be one to be compressed.
fn pack_or_begin(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    head: &ResponseHead<'_>,
    known: Option<u64>,
    (body, end): (&[u8], bool),
) {
    let Some(plan) = plan_coding(turn, client, key, head, known) else {
        // What it stands for may have been compressed (RFC 9110 §15.4.5).
        let varies = head.status == 304 && turn.exchanges.get(key).is_some_and(may_compress);
        let added = if varies { VARY } else { b"" };
        begin(turn, client, key, &ResponseHead { added, ..*head }, known, (body, end));
        return;
    };
    let Some(coding) = plan.coding else {
        begin(turn, client, key, &ResponseHead { added: VARY, ..*head }, known, (body, end));
        return;
    };
    let mut added = VARY.to_vec();
    added.extend_from_slice(b"Content-Encoding: ");
    added.extend_from_slice(coding.name().as_bytes());
    added.extend_from_slice(b"\r\n");
    let rewritten = lines_for_coding(head);
    let facts = BlockFacts { content_length: None, ..head.facts };
    let head = &ResponseHead { lines: [&rewritten, b""], added: &added, facts, ..*head };
    let is_head = turn.exchanges.get(key).is_some_and(|exchange| exchange.head_only);
    if is_head {
        begin(turn, client, key, head, None, (body, end));
        return;
    }
    let encoder = match Encoder::new(coding) {
        Ok(encoder) => encoder,
        Err(error) => return fail_compression(turn, client, key, &error),
    };
    let is_whole = end && plan.announced.is_none_or(|announced| announced == body.len() as u64);
    if is_whole && body.len() < LARGE {
        match encoder.finish(body) {
            Ok(packed) => {
                let known = Some(packed.len() as u64);
                begin(turn, client, key, head, known, (&packed, true));
            }
            Err(error) => fail_compression(turn, client, key, &error),
        }
        return;
    }
    begin(turn, client, key, head, None, (b"", false));
    if let Some(exchange) = turn.exchanges.get_mut(key) {
        client.charge(exchange, MOST_MEMORY, 0);
        exchange.compression = Some(Box::new(Compression::new(encoder, plan.announced)));
    }
    part(turn, client, key, body, end);
}

/// A whole response whose body is a part of a file that the application has opened: `there` bytes of it from `offset`.
pub(crate) fn file(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    head: &ResponseHead<'_>,
    file: HeldFile,
    (offset, there): (u64, u64),
) {
    if is_taken_over(turn, client, key, head) {
        return;
    }
    let known = Some(there);
    let Some((exchange, length)) = frame(turn, key, head, known) else { return };
    let head = &ResponseHead { length, is_whole: true, ..*head };
    let ResponseState::Length(announced) = exchange.response.state else {
        client.head(turn, key, head, Body::NONE, true);
        return;
    };
    let sent = there.min(announced);
    let is_short = sent < announced;
    exchange.response.bytes = sent;
    let body = Body::Passed(Arc::new(file), offset, offset + sent);
    client.head(turn, key, head, body, !is_short);
    if is_short {
        turn.log_error(
            "A file was shorter than the Content-Length of its response; the connection was closed.",
        );
        abort(turn, client, key);
    }
}

/// A whole response of the core's own: `bytes` of body, which `head` has told the length of.
pub(crate) fn whole(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    head: &ResponseHead<'_>,
    body: Body<'_>,
    bytes: u64,
) {
    let Some(exchange) = begin_whole(turn, key, head) else { return };
    if exchange.head_only {
        client.head(turn, key, head, Body::NONE, true);
    } else {
        exchange.response.bytes = bytes;
        client.head(turn, key, head, body, true);
    }
}

/// Such a response begins.
pub(super) fn begin_whole<'a>(
    turn: &'a mut Turn,
    key: Key,
    head: &ResponseHead<'_>,
) -> Option<&'a mut Exchange> {
    let exchange = turn.exchanges.get_mut(key)?;
    exchange.response.status = head.status;
    exchange.response.state = ResponseState::Bodiless;
    Some(exchange)
}

/// A part of the response's body.
pub(crate) fn part(turn: &mut Turn, client: &mut impl Client, key: Key, body: &[u8], end: bool) {
    let Some(exchange) = turn.exchanges.get_mut(key) else { return };
    let Some(compression) = &mut exchange.compression else {
        plain(turn, client, key, body, end);
        return;
    };
    let (is_surplus, work) = compression.take(body, end);
    if is_surplus {
        log_surplus(turn);
    }
    match work {
        Ok(work) => pack(turn, client, key, work),
        Err(Short) => fall_short(turn, client, key),
    }
}

/// Fields that are to follow the body. A body whose end is known without them has none (RFC 9110 §6.5.1).
pub(crate) fn trailers(turn: &mut Turn, key: Key, lines: &[u8]) {
    let Some(exchange) = turn.exchanges.get_mut(key) else { return };
    if exchange.client.is_none() {
        return;
    }
    match check_trailers(lines) {
        Ok(()) => exchange.trailers = lines.into(),
        Err(error) => turn.log_error(&format!("An application's trailers were not sent: {error}.")),
    }
}

/// A 1xx response before the final one; HTTP/1.0 clients don't know them.
pub(crate) fn informational(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    status: u16,
    lines: &[u8],
) {
    let is_wanted = |exchange: &Exchange| !exchange.http10 && exchange.is_awaited();
    if turn.exchanges.get(key).is_some_and(is_wanted) {
        client.informational(turn, key, status, lines);
    }
}

/// Tells the client of an exchange, if there is one, that its response can't be had.
pub(crate) fn fail(turn: &mut Turn, clients: &mut impl Clients, key: Key, status: u16) {
    turn.with_client(clients, key, |client, turn| failure(turn, client, key, status));
}

/// What answers has failed, or is gone: `status` if nothing has been sent, else a response that breaks off.
fn failure(turn: &mut Turn, client: &mut impl Client, key: Key, status: u16) {
    let Some(exchange) = turn.exchanges.get_mut(key) else { return };
    exchange.set_reason(match status {
        500 => "the application failed",
        504 => "the application took too long",
        _ => "its worker ended",
    });
    match exchange.response.state {
        ResponseState::Awaited => turn.answer(client, key, Answer::page(status)),
        ResponseState::Bodiless => finish(turn, client, key),
        ResponseState::Sought => {}
        _ => abort(turn, client, key),
    }
}

/// All of the response has been given to the client.
fn finish(turn: &mut Turn, client: &mut impl Client, key: Key) {
    if turn.exchanges.get(key).is_some_and(|exchange| !exchange.answered()) {
        client.body(turn, key, Body::NONE, true);
    }
}

/// Ends the response where it is, so that the client notices.
pub(crate) fn abort(turn: &mut Turn, client: &mut impl Client, key: Key) {
    if turn.exchanges.get(key).is_some_and(|exchange| !exchange.answered()) {
        client.abort(turn, key);
    }
}

/// Whether the client has got an answer of the core's already, or is going to, so that what comes is too late; or gets the file
/// that the response names.
#[inline]
fn is_taken_over(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    head: &ResponseHead<'_>,
) -> bool {
    let Some(exchange) = turn.exchanges.get(key) else { return true };
    !exchange.is_awaited() || (exchange.may_name_file() && turn.begin_sendfile(client, key, head))
}

/// Decides how a response's body is delimited. `known`: it has so many bytes, and is all there. Gives the Content-Length that its head does not say, as well.
#[inline]
fn frame<'a>(
    turn: &'a mut Turn,
    key: Key,
    head: &ResponseHead<'_>,
    known: Option<u64>,
) -> Option<(&'a mut Exchange, Option<u64>)> {
    let exchange = turn.exchanges.get_mut(key)?;
    let (state, length) = match head.facts.content_length {
        _ if !body_allowed(head.status) => (ResponseState::Bodiless, None),
        Some(_) if exchange.head_only => (ResponseState::Bodiless, None),
        None if exchange.head_only => (ResponseState::Bodiless, known.filter(|length| *length > 0)),
        Some(length) => (ResponseState::Length(length), None),
        None if let Some(length) = known => (ResponseState::Length(length), known),
        None => (ResponseState::Open, None),
    };
    exchange.response.status = head.status;
    exchange.response.state = state;
    Some((exchange, length))
}

/// Writes a response's head with the first part of its body.
#[inline]
fn begin(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    head: &ResponseHead<'_>,
    known: Option<u64>,
    (body, end): (&[u8], bool),
) {
    let Some((exchange, length)) = frame(turn, key, head, known) else { return };
    let portion = Portion::of(&mut exchange.response, body, end);
    let head = &ResponseHead { length, is_whole: known.is_some(), ..*head };
    let is_last = portion.outcome == Outcome::Finished;
    client.head(turn, key, head, Body::Bytes(portion.bytes), is_last);
    conclude(turn, client, key, &portion);
}

/// A part of what the client gets.
fn plain(turn: &mut Turn, client: &mut impl Client, key: Key, body: &[u8], end: bool) {
    let Some(exchange) = turn.exchanges.get_mut(key) else { return };
    if exchange.answered() || exchange.is_awaited() {
        return;
    }
    let portion = Portion::of(&mut exchange.response, body, end);
    let is_last = portion.outcome == Outcome::Finished;
    if is_last || !portion.bytes.is_empty() {
        client.body(turn, key, Body::Bytes(portion.bytes), is_last);
    }
    conclude(turn, client, key, &portion);
}

/// What becomes of a part of a body.
struct Portion<'a> {
    /// What of it the client gets.
    bytes: &'a [u8],
    /// There was more than was announced.
    is_surplus: bool,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    More,
    Finished,
    /// The body has ended before its Content-Length.
    Short,
    /// It goes nowhere.
    Dropped,
}

impl<'a> Portion<'a> {
    #[inline]
    fn of(response: &mut Response, body: &'a [u8], end: bool) -> Self {
        let (bytes, outcome) = match &mut response.state {
            ResponseState::Length(left) => {
                let part = take_announced(left, body);
                let outcome = match *left {
                    0 => Outcome::Finished,
                    _ if end => Outcome::Short,
                    _ => Outcome::More,
                };
                (part, outcome)
            }
            ResponseState::Open => (body, if end { Outcome::Finished } else { Outcome::More }),
            ResponseState::Bodiless if end => return Self::dropped(Outcome::Finished),
            // The file is the body, or there is none.
            _ => return Self::dropped(Outcome::Dropped),
        };
        response.bytes += bytes.len() as u64;
        Self { bytes, is_surplus: bytes.len() < body.len(), outcome }
    }

    fn dropped(outcome: Outcome) -> Self {
        Self { bytes: b"", is_surplus: false, outcome }
    }
}

/// After a part of a body.
#[inline]
fn conclude(turn: &mut Turn, client: &mut impl Client, key: Key, portion: &Portion<'_>) {
    if portion.is_surplus {
        log_surplus(turn);
    }
    match portion.outcome {
        Outcome::More | Outcome::Finished => {}
        Outcome::Short => fall_short(turn, client, key),
        Outcome::Dropped => turn.notes.push(Note::Taken(key)),
    }
}

/// The body has ended before its Content-Length.
fn fall_short(turn: &mut Turn, client: &mut impl Client, key: Key) {
    if let Some(exchange) = turn.exchanges.get_mut(key) {
        exchange.set_reason("the application sent less than its Content-Length");
    }
    turn.log_error("An application sent less than its Content-Length; the connection was closed.");
    abort(turn, client, key);
}

fn log_surplus(turn: &Turn) {
    turn.log_error("An application sent more than its Content-Length; the surplus was dropped.");
}

/// Whether its mount compresses what the application sends.
fn may_compress(exchange: &Exchange) -> bool {
    exchange.generation.mounts.get(exchange.mount).is_some_and(|own| own.compress)
}

/// Whether a response is one that is compressed for those who want it. What is short is decided without a look at its lines.
fn plan_coding(
    turn: &Turn,
    client: &impl Client,
    key: Key,
    head: &ResponseHead<'_>,
    known: Option<u64>,
) -> Option<Plan> {
    if is_out_of_question(head, known) {
        return None;
    }
    let exchange = turn.exchanges.get(key)?;
    if exchange.http10 || !may_compress(exchange) {
        return None;
    }
    let announced = head.facts.content_length;
    // What is compressed as it comes has a compressor for as long as its client takes: who holds much else gets the body as it is.
    let is_whole = known.is_some_and(|length| length < LARGE as u64);
    if !is_whole && !client.has_room_to_compress(exchange) {
        return Some(Plan { coding: None, announced });
    }
    if !is_compressible(head) {
        return None;
    }
    Some(Plan { coding: accepted(HeadView::new(&exchange.head).headers()), announced })
}

fn fail_compression(turn: &mut Turn, client: &mut impl Client, key: Key, error: &io::Error) {
    turn.log_error(&format!("A response could not be compressed: {error}."));
    turn.answer(client, key, Answer::page(500));
}

/// Goes on with a body that is compressed. Short pieces are compressed here.
fn pack(turn: &mut Turn, client: &mut impl Client, key: Key, mut next: Option<Work<'_>>) {
    while let Some(work) = next {
        if work.piece.len() >= LARGE {
            pack_elsewhere(turn, key, work);
            return;
        }
        next = packed(turn, client, key, compress(work));
    }
}

/// Has a thread that may block compress a piece.
fn pack_elsewhere(turn: &mut Turn, key: Key, Work { encoder, piece, is_last }: Work<'_>) {
    set_away(turn, key, piece.len());
    let work = Work { encoder, piece: Cow::Owned(piece.into_owned()), is_last };
    let lane = Arc::clone(&turn.shared.computing);
    turn.run_blocking(
        &lane,
        move || {
            let compressed = Box::new(compress(work));
            Message::Compressed { exchange: key, compressed }
        },
        move |error| {
            let compressed = Box::new(Compressed { encoder: None, bytes: Err(error) });
            Message::Compressed { exchange: key, compressed }
        },
    );
}

fn set_away(turn: &mut Turn, key: Key, bytes: usize) {
    let exchange = turn.exchanges.get_mut(key);
    if let Some(compression) = exchange.and_then(|exchange| exchange.compression.as_mut()) {
        compression.set_away(bytes);
    }
}

/// A piece has been compressed elsewhere: it goes out, and what has come meanwhile is the next.
pub(crate) fn on_compressed(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    compressed: Compressed,
) {
    set_away(turn, key, 0);
    let next = packed(turn, client, key, compressed);
    pack(turn, client, key, next);
}

/// Gives a piece that has been compressed to the client. Gives what comes next.
fn packed(
    turn: &mut Turn,
    client: &mut impl Client,
    key: Key,
    compressed: Compressed,
) -> Option<Work<'static>> {
    let bytes = match compressed.bytes {
        Ok(bytes) => bytes,
        Err(error) => {
            turn.log_error(&format!(
                "A response could not be compressed: {error}; the connection was closed."
            ));
            abort(turn, client, key);
            return None;
        }
    };
    let is_last = compressed.encoder.is_none();
    plain(turn, client, key, &bytes, is_last);
    let compression = turn.exchanges.get_mut(key)?.compression.as_mut()?;
    compression.go_on(compressed.encoder)
}
