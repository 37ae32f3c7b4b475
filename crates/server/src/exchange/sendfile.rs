//! Responses that name a file: it is looked for, and takes the place of the body.

use super::answer::Answer;
use super::negotiate::conditions_of;
use super::seam::{Body, Client, Clients};
use super::turn::Turn;
use super::{Exchange, ResponseState, Source, deliver};
use crate::filters::head::ResponseHead;
use crate::filters::sendfile::Sought;
use crate::shared::message::Message;
use gwanmun_files::{FileEntry, Files, Found, Reply, evaluate, write_headers};
use gwanmun_gateway::request::HeadView;
use gwanmun_http1::response::{BlockFacts, body_allowed};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::blocking::PATIENCE;
use std::sync::Arc;

impl Turn {
    /// Takes over a response that names a file, if its mount lets it. `false`: it is an ordinary one.
    pub(super) fn begin_sendfile(
        &mut self,
        client: &mut impl Client,
        key: Key,
        head: &ResponseHead<'_>,
    ) -> bool {
        let Some(exchange) = self.exchanges.get_mut(key) else { return false };
        let Some(folders) = &exchange.generation.mounts[exchange.mount].sendfile else {
            return false;
        };
        let Some(sought) = Sought::new(head) else { return false };
        let folders = Arc::clone(folders);
        exchange.response.status = head.status;
        exchange.response.state = ResponseState::Sought;
        let Some(files) = folders.first(&sought.path).map(Arc::clone) else {
            self.on_sendfile(client, key, &sought, None);
            return true;
        };
        self.sought.push_back((self.clock.ms(), key));
        let lane = Arc::clone(files.root.lane());
        let sought = Arc::new(sought);
        let own = Arc::clone(&sought);
        self.run_blocking(
            &lane,
            move || {
                let found = folders.find(&sought.path);
                Message::Sendfile { exchange: key, sought, found }
            },
            move |error| {
                let found = Some((Found::Unavailable(error), files));
                Message::Sendfile { exchange: key, sought: own, found }
            },
        );
        true
    }

    /// The file has been looked for. `None`: the path is beneath none of the mount's folders.
    pub(crate) fn on_sendfile(
        &mut self,
        client: &mut impl Client,
        key: Key,
        sought: &Sought,
        found: Option<(Found, Arc<Files>)>,
    ) {
        // It may have been given up meanwhile.
        let is_sought = |exchange: &Exchange| exchange.response.state == ResponseState::Sought;
        if !self.exchanges.get(key).is_some_and(is_sought) {
            return;
        }
        let (found, files) = found.unzip();
        let (status, why) = match found {
            Some(Found::File(entry)) => {
                if let Some(files) = &files {
                    self.send_found(client, key, sought, files, entry);
                }
                return;
            }
            Some(Found::NotFound | Found::Directory | Found::Listing(_)) => {
                (404, "there is no such file".to_owned())
            }
            Some(Found::Forbidden) => (500, "the file may not be read".to_owned()),
            Some(Found::Failed(error)) => (500, error.to_string()),
            Some(Found::Unavailable(error)) => (503, error.to_string()),
            None => (500, "the path is outside the mount's sendfile folders".to_owned()),
        };
        let path = sought.path.escape_ascii();
        self.log_error(&format!("X-Sendfile: {path}: {why}; the answer is {status}."));
        self.answer(client, key, Answer::page(status));
    }

    /// Gives up on files that have been looked for too long. The thread that looks goes on: nothing can end what hangs in the kernel.
    pub(crate) fn expire_sought(&mut self, clients: &mut impl Clients) {
        let now_ms = self.clock.ms();
        while let Some(&(since_ms, key)) = self.sought.front() {
            let is_sought = |exchange: &Exchange| exchange.response.state == ResponseState::Sought;
            let is_sought = self.exchanges.get(key).is_some_and(is_sought);
            if is_sought && now_ms < since_ms + PATIENCE.as_millis() as u64 {
                break;
            }
            self.sought.pop_front();
            if !is_sought {
                continue;
            }
            self.with_client(clients, key, |client, turn| {
                turn.log_error(&format!(
                    "X-Sendfile: the file's folder has not answered for {} s; the answer is 503. Check its disk, or the server that the disk is on.",
                    PATIENCE.as_secs()
                ));
                turn.answer(client, key, Answer::page(503));
            });
        }
    }

    fn send_found(
        &mut self,
        client: &mut impl Client,
        key: Key,
        sought: &Sought,
        files: &Arc<Files>,
        mut entry: Arc<FileEntry>,
    ) {
        let Some(exchange) = self.exchanges.get(key) else { return };
        // Validators of the application's own are not the file's: what they would say is the application's to judge.
        let own = sought.gives(b"etag") || sought.gives(b"last-modified");
        let mut reply = Reply::Full;
        if sought.status == 200 && !own {
            let view = HeadView::new(&exchange.head);
            let conditions = conditions_of(&view);
            if sought.may_be_coded() {
                entry = self.negotiate(files, entry, &conditions);
            }
            reply = match evaluate(&entry, &conditions) {
                // Several parts of it: all of it will do (RFC 9110 §14.2), in the head as in the body.
                Reply::Parts(_) => Reply::Full,
                reply => reply,
            };
        }
        let (status, start, end) = match reply {
            _ if !body_allowed(sought.status) => (sought.status, 0, 0),
            Reply::Full | Reply::Parts(_) => (sought.status, 0, entry.size),
            Reply::Partial { start, end } => (206, start, end),
            Reply::NotModified => (304, 0, 0),
            Reply::NotSatisfiable => (416, 0, 0),
            Reply::PreconditionFailed => {
                self.answer(client, key, Answer::page(412));
                return;
            }
        };
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if let Some(log) = &mut exchange.log {
            log.source = Source::File;
        }
        let mut lines = sought.lines.clone();
        if body_allowed(sought.status) {
            let mut of_file = Vec::new();
            write_headers(&mut of_file, &entry, &reply);
            sought.add_lines(&of_file, own, &mut lines);
        }
        let head = ResponseHead {
            reason: sought.reason.as_deref().filter(|_| status == sought.status),
            facts: BlockFacts { content_length: None, ..sought.facts },
            close: sought.close,
            is_whole: true,
            ..ResponseHead::new(status, &lines)
        };
        deliver::whole(self, client, key, &head, Body::Entry(&entry, start, end), end - start);
    }
}
