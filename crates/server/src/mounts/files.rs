//! Files: what the thread's cache knows is answered at once; a blocking thread looks for what it does not know.

use super::Behind;
use crate::exchange::Exchange;
use crate::exchange::answer::Answer;
use crate::exchange::negotiate::{conditions, conditions_of};
use crate::exchange::seam::{Clients, Start};
use crate::exchange::turn::Turn;
use crate::generation::Generation;
use crate::router::Resolved;
use crate::shared::Shared;
use crate::shared::message::Message;
use gwanmun_files::{
    Cached, FileCache, FileCacheLimits, FileEntry, Files, Found, Known, evaluate, is_servable,
};
use gwanmun_gateway::request::{HeadView, Piece};
use gwanmun_http1::{HeaderSpan, path};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::blocking;
use gwanmun_sys::descriptors;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;

/// Of a listing. Names are anybody's: should one get past the escaping, it still runs nothing (H83).
const LISTING_LINES: &[u8] = b"Vary: Accept\r\nCache-Control: no-cache\r\n\
Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
X-Content-Type-Options: nosniff\r\n";

/// What a thread knows of files.
pub(crate) struct FileMounts {
    /// Its keys are mounts of the current generation.
    cache: FileCache,
    /// Files that are being looked for, and who waits for each: a disk that stalls holds one blocking thread for each file.
    lookups: FxHashMap<Sight, LookUp>,
}

/// A file that is being looked for: the generation's address, the mount, and the path beneath it.
type Sight = (usize, usize, Box<[u8]>);

/// Which exchanges wait for a file.
#[derive(Debug)]
struct LookUp {
    since_ms: u64,
    waiters: Vec<Key>,
}

impl FileMounts {
    /// A thread keeps fewer files open where descriptors are few.
    pub(super) fn new(shared: &Shared) -> Self {
        let descriptors = descriptors::files_to_keep(shared.mailboxes.len());
        let limits = FileCacheLimits { descriptors, ..FileCacheLimits::default() };
        Self { cache: FileCache::new(limits), lookups: FxHashMap::default() }
    }

    /// Look-ups of an earlier generation go on.
    pub(super) fn with_lookups_of(self, other: &mut Self) -> Self {
        Self { lookups: std::mem::take(&mut other.lookups), ..self }
    }

    /// Answers with a file. `None`: there is none, as far as is known.
    pub(super) fn start(
        &mut self,
        turn: &mut Turn,
        behind: &mut Behind<'_>,
        key: Key,
        files: &Arc<Files>,
        request: &Resolved<'_>,
        headers: &mut Vec<HeaderSpan>,
    ) -> Option<Start> {
        let Resolved { bytes, head, route, .. } = *request;
        let path = &request.path[route.prefix..];
        let mount = &turn.generation.mounts[route.mount];
        let application = mount.application;
        let cached = if path.is_empty() {
            Cached::Fresh(if application.is_some() { Known::NotFound } else { Known::Directory })
        } else if request.servable {
            let now = turn.clock.now();
            match self.cache.get(route.mount as u32, path, now) {
                // What the cache knows has been servable.
                Cached::Miss if !is_servable(path) || files.rules.hides(path) => {
                    Cached::Fresh(Known::NotFound)
                }
                Cached::Stale { entry, recent: true }
                    if files.root.is_unchanged(&entry, path, &files.rules) =>
                {
                    self.cache.renew(route.mount as u32, path, now);
                    Cached::Fresh(Known::File(entry))
                }
                cached => cached,
            }
        } else {
            Cached::Fresh(Known::NotFound)
        };
        // A large file is sent from its descriptor: what was announced must be what is there (H82).
        let is_outdated = |entry: &FileEntry| entry.content.is_none() && !entry.is_unchanged();
        let known = match cached {
            Cached::Fresh(Known::File(entry)) if !is_outdated(&entry) => {
                let conditions = conditions(bytes, headers, head.method.of(bytes) == b"HEAD");
                let entry = turn.negotiate(files, entry, &conditions);
                if !is_outdated(&entry) {
                    let reply = evaluate(&entry, &conditions);
                    return Some(Start::Answer(Answer::File { entry, reply }));
                }
                None
            }
            Cached::Fresh(Known::File(_)) | Cached::Miss => None,
            Cached::Fresh(Known::Directory) => {
                let query = head.query.of(bytes);
                return Some(Start::Answer(redirect(request.path, query)));
            }
            Cached::Fresh(Known::Forbidden) => return Some(Start::Answer(Answer::page(403))),
            Cached::Fresh(Known::NotFound) => return None,
            Cached::Stale { entry, .. } => Some(entry),
        };
        let application = application.map_or(0, |application| application.index);
        if !behind.applications.encode_head(turn, key, application, request, headers) {
            return Some(Start::TOO_LARGE_TO_PASS);
        }
        if let Some(exchange) = turn.exchanges.get_mut(key) {
            // The file, or what is kept of a small one.
            exchange.charge(0, 1);
        }
        let own = Arc::clone(&turn.generation);
        match self.look_for(turn, &own, route.mount, path, known, key) {
            Ok(()) => Some(Start::Started),
            Err(error) => {
                let found = Found::Unavailable(error);
                // An application is not asked for what may be a file.
                Some(match self.answer(turn, behind, key, &found) {
                    Some(answer) => Start::Answer(answer),
                    None => Start::Started,
                })
            }
        }
    }

    /// Has a blocking thread look for a file, unless one does: [`Message::Found`] tells. `known` is what the cache had.
    ///
    /// # Errors
    /// One has been looking for too long.
    fn look_for(
        &mut self,
        turn: &Turn,
        generation: &Arc<Generation>,
        mount: usize,
        path: &[u8],
        known: Option<Arc<FileEntry>>,
        waiter: Key,
    ) -> io::Result<()> {
        let Some(files) = generation.mounts.get(mount).and_then(|mount| mount.files.clone()) else {
            return Ok(());
        };
        let sight = (Arc::as_ptr(generation).addr(), mount, Box::from(path));
        let now_ms = turn.clock.ms();
        match self.lookups.entry(sight) {
            Entry::Occupied(entry) => {
                let look = entry.into_mut();
                if now_ms >= look.since_ms + blocking::PATIENCE.as_millis() as u64 {
                    return Err(files.root.lane().hangs());
                }
                look.waiters.push(waiter);
                return Ok(());
            }
            Entry::Vacant(entry) => {
                entry.insert(LookUp { since_ms: now_ms, waiters: vec![waiter] });
            }
        }
        let lane = Arc::clone(files.root.lane());
        let (generation, path) = (Arc::clone(generation), Box::<[u8]>::from(path));
        let (own, missing) = (Arc::clone(&generation), path.clone());
        turn.run_blocking(
            &lane,
            move || {
                let found = match &known {
                    Some(entry) => files.root.revalidate(entry, &path, &files.rules),
                    None => files.root.find(&path, &files.rules),
                };
                Message::Found { generation, mount, path, found }
            },
            move |error| Message::Found {
                generation: own,
                mount,
                path: missing,
                found: Found::Unavailable(error),
            },
        );
        Ok(())
    }

    /// A file has been looked for: whoever waits for it goes on.
    pub(super) fn on_found(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        behind: &mut Behind<'_>,
        (generation, mount, path): (&Arc<Generation>, usize, &[u8]),
        found: &Found,
    ) {
        if Arc::ptr_eq(generation, &turn.generation) {
            self.cache.insert(mount as u32, path, found, turn.clock.now());
        }
        let sight = (Arc::as_ptr(generation).addr(), mount, path.into());
        let waiters = self.lookups.remove(&sight).map(|look| look.waiters).unwrap_or_default();
        for (index, waiter) in waiters.into_iter().enumerate() {
            // Who came later may have come after a change: what is announced must be what is there (H82).
            let is_outdated = matches!(found, Found::File(entry)
                if index > 0 && entry.content.is_none() && !entry.is_unchanged());
            let refused;
            let found = if is_outdated {
                match self.look_for(turn, generation, mount, path, None, waiter) {
                    Ok(()) => continue,
                    Err(error) => {
                        refused = Found::Unavailable(error);
                        &refused
                    }
                }
            } else {
                found
            };
            self.give(turn, clients, behind, waiter, found);
        }
    }

    /// Gives up on files that have been looked for too long. The thread that looks goes on: nothing can end what hangs in the kernel.
    pub(super) fn expire_lookups(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        behind: &mut Behind<'_>,
    ) {
        let now_ms = turn.clock.ms();
        let patience_ms = blocking::PATIENCE.as_millis() as u64;
        let mut waiters = Vec::new();
        for look in self.lookups.values_mut() {
            if now_ms >= look.since_ms + patience_ms {
                waiters.append(&mut look.waiters);
            }
        }
        for waiter in waiters {
            let files = turn.exchanges.get(waiter).and_then(Exchange::files);
            if let Some(files) = files {
                let found = Found::Unavailable(files.root.lane().hangs());
                self.give(turn, clients, behind, waiter, &found);
            }
        }
    }

    /// Gives the client of an exchange what has been found.
    fn give(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        behind: &mut Behind<'_>,
        key: Key,
        found: &Found,
    ) {
        turn.with_client(clients, key, |client, turn| {
            if let Some(answer) = self.answer(turn, behind, key, found) {
                turn.answer(client, key, answer);
            }
        });
    }

    /// What is answered, now that a file has been looked for. `None`: an application has the request.
    fn answer(
        &mut self,
        turn: &mut Turn,
        behind: &mut Behind<'_>,
        key: Key,
        found: &Found,
    ) -> Option<Answer> {
        let exchange = turn.exchanges.get_mut(key)?;
        let head = std::mem::take(&mut exchange.head);
        let mount = exchange.mount;
        let generation = Arc::clone(&exchange.generation);
        let view = HeadView::new(&head);
        let answer = match found {
            Found::File(entry) => {
                let conditions = conditions_of(&view);
                let mut entry = Arc::clone(entry);
                if let Some(files) = &generation.mounts[mount].files {
                    entry = turn.negotiate(files, entry, &conditions);
                }
                let reply = evaluate(&entry, &conditions);
                Answer::File { entry, reply }
            }
            Found::Directory => {
                let mut path =
                    [view.piece(Piece::ScriptName), view.piece(Piece::PathInfo)].concat();
                path::merge(&mut path);
                redirect(&path, view.piece(Piece::Query))
            }
            Found::Listing(listing) => {
                let wants_html = view.headers().any(|(name, value)| {
                    name.eq_ignore_ascii_case(b"accept")
                        && value.to_ascii_lowercase().windows(9).any(|part| part == b"text/html")
                });
                let (content_type, body) = if wants_html {
                    ("text/html; charset=utf-8", &listing.html)
                } else {
                    ("application/json", &listing.json)
                };
                Answer::Content {
                    status: 200,
                    content_type,
                    lines: LISTING_LINES,
                    body: body.clone(),
                }
            }
            Found::Forbidden => Answer::page(403),
            Found::Failed(error) if descriptors::is_exhaustion(error) => {
                turn.log_unserved(key, "file descriptors run short");
                Answer::unavailable()
            }
            Found::Failed(error) => {
                turn.log_error(&format!("A file could not be opened: {error}."));
                Answer::page(500)
            }
            Found::Unavailable(error) => {
                let files = generation.mounts[mount].files.as_ref();
                if files.is_none_or(|files| files.root.lane().may_tell()) {
                    turn.log_error(&format!(
                        "Files can't be looked up, so requests get a 503: {error}."
                    ));
                }
                Answer::unavailable()
            }
            Found::NotFound
                if generation.mounts[mount].application.is_some()
                    || generation.mounts[mount].program.is_some() =>
            {
                if let Some(exchange) = turn.exchanges.get_mut(key) {
                    exchange.head = head;
                }
                return behind.hand_over(turn, key);
            }
            Found::NotFound => Answer::page(404),
        };
        turn.buffers.give(head);
        Some(answer)
    }
}

/// To a folder's path with its slash.
fn redirect(path: &[u8], query: &[u8]) -> Answer {
    Answer::Page { status: 301, lines: Cow::Owned(redirect_line(path, query)) }
}

/// `Location` of a folder's path with its slash. Always a path of this server: the normal form has one leading slash, and
/// everything that is not plainly a path's character is encoded (H80).
fn redirect_line(path: &[u8], query: &[u8]) -> Vec<u8> {
    let mut line = b"Location: ".to_vec();
    path::encode(&mut line, path);
    line.push(b'/');
    if !query.is_empty() {
        line.push(b'?');
        line.extend_from_slice(query);
    }
    line.extend_from_slice(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h80_a_redirect_stays_on_this_server() {
        assert_eq!(redirect_line(b"/a b/\\evil", b"x=1"), b"Location: /a%20b/%5Cevil/?x=1\r\n");
        assert_eq!(redirect_line("/é".as_bytes(), b""), b"Location: /%C3%A9/\r\n");
    }
}
