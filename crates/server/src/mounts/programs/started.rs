//! Programs that are started for a request: from their start to their end.

use super::errors::Failure;
use super::pipes::Pipes;
use super::{Programs, State, script};
use crate::exchange::RequestBody;
use crate::exchange::seam::Clients;
use crate::exchange::turn::Turn;
use crate::generation::Scripts;
use crate::shared::message::Message;
use crate::upstreams::process::{Input, Plan, StartError, Started, start};
use gwanmun_reactor::arena::Key;
use gwanmun_reactor::epoll::Token;
use gwanmun_sys::process::Exit;
use std::sync::Arc;

impl Programs {
    /// A run's program is started, by a thread.
    pub(super) fn launch(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let Some(found) = &run.script else { return };
        let Some(exchange) = turn.exchanges.get_mut(run.exchange) else { return };
        let Some(program) = exchange.program() else { return };
        let Scripts::Started { limits, .. } = program.scripts else { return };
        let variables = script::variables(exchange, program, Some(found));
        let Some(environment) = script::environment(&variables) else {
            self.fail(turn, clients, key, Failure::TooLarge);
            return;
        };
        let input = match std::mem::replace(&mut exchange.body, RequestBody::None) {
            RequestBody::Memory(bytes) => Input::Bytes(bytes),
            RequestBody::File(spooled) => Input::File(spooled),
            RequestBody::None | RequestBody::Streamed(_) => Input::Nothing,
        };
        if let Some(log) = &mut exchange.log {
            log.sent = Some(turn.clock.now());
        }
        let plan = Plan { program: found.file(), environment, input, limits };
        let State::Ready { slot, .. } = std::mem::replace(&mut run.state, State::Between) else {
            return;
        };
        run.state = State::Starting(slot);
        run.since_ms = turn.clock.ms();
        let (shared, also) = (Arc::clone(&turn.shared), Arc::clone(&turn.shared));
        let thread = turn.thread;
        let begun = start(
            plan,
            move |result| shared.mailboxes[thread].post(Message::Started { run: key, result }),
            move |exit| also.mailboxes[thread].post(Message::Exited { run: key, exit }),
        );
        if let Err(error) = begun {
            self.fail(turn, clients, key, Failure::Thread(error));
        }
    }

    /// A program has been started, or has not. If its run is gone, it ends.
    pub(crate) fn on_started(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        result: Result<Started, StartError>,
    ) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let Started { process, output, errors } = match result {
            Ok(started) => started,
            Err(error) => return self.fail(turn, clients, key, Failure::Start(error)),
        };
        let State::Starting(slot) = std::mem::replace(&mut run.state, State::Between) else {
            return;
        };
        let pipes = Pipes::new(output, errors);
        let token = Token::Upstream(key);
        let watched =
            pipes.fds().into_iter().try_for_each(|fd| turn.epoll.add_input_edges(fd, token));
        run.state = State::Running { slot, process, pipes, exit: None };
        run.since_ms = turn.clock.ms();
        match watched {
            Ok(()) => self.advance(turn, clients, key),
            Err(error) => self.fail(turn, clients, key, Failure::Thread(error)),
        }
    }

    /// A program has ended. What it has written is read, and then its children have a moment (C56).
    pub(crate) fn on_exited(
        &mut self,
        turn: &mut Turn,
        clients: &mut impl Clients,
        key: Key,
        exit: Exit,
    ) {
        self.ending.retain(|ending| ending.run != key);
        let Some(run) = self.runs.get_mut(key) else { return };
        let State::Running { exit: own, pipes, .. } = &mut run.state else { return };
        *own = Some(exit);
        run.since_ms = turn.clock.ms();
        if pipes.has_ended() {
            self.conclude(turn, clients, key);
        } else {
            self.advance(turn, clients, key);
        }
    }

    /// The output of a program is at its end. A client that has all of it need not wait for the program to go.
    pub(super) fn on_output_end(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let State::Running { exit, .. } = &run.state else { return };
        if exit.is_some() {
            self.conclude(turn, clients, key);
        } else if run.output.unfinished().is_none() {
            let delivered = run.output.deliver(turn, clients, run.exchange, true);
            match delivered {
                Ok(Some(target)) => self.redirect(turn, clients, key, target),
                Ok(None) => {}
                Err(error) => self.fail(turn, clients, key, Failure::Head(error)),
            }
        }
    }

    /// A program has ended, and so has its output, or it comes from its children, which are ended with it.
    pub(super) fn conclude(&mut self, turn: &mut Turn, clients: &mut impl Clients, key: Key) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let State::Running { exit: Some(exit), pipes, .. } = &mut run.state else { return };
        let exit = *exit;
        pipes.read_errors(turn, run.exchange, &mut run.stderr, &mut self.buffer);
        if let Some(head) = run.output.unfinished() {
            let failure = Failure::Exited(exit, head.to_vec());
            self.fail(turn, clients, key, failure);
            return;
        }
        run.stderr.exited = Some(exit);
        let delivered = run.output.deliver(turn, clients, run.exchange, true);
        match delivered {
            Ok(Some(target)) => self.redirect(turn, clients, key, target),
            Ok(None) => self.end(turn, key),
            Err(error) => self.fail(turn, clients, key, Failure::Head(error)),
        }
    }
}
