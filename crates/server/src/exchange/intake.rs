//! A request's body, as it comes out of its protocol's framing: thrown away, collected in memory or in a temporary file, or passed on.

use super::RequestBody;
use super::seam::Start;
use super::turn::Turn;
use crate::shared::message::Message;
use crate::spool::{Share, SpooledBody, temporary_file};
use gwanmun_http1::Body;
use gwanmun_reactor::HeldFile;
use gwanmun_reactor::arena::Key;
use gwanmun_sys::descriptors;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Why a body is refused that would be in a temporary file.
const SPOOL_FULL: &str = "buffered request bodies use up limits.spool";
/// A body that nobody wants is read to its end if it is at most this long; else its client can't go on.
pub(crate) const SKIP_BODY: u64 = 64 * 1024;
/// Bytes that go to the temporary file in one write.
const WRITE_SIZE: usize = 256 * 1024;

/// How a body begins to be collected. What is announced and cannot be kept is not waited for.
pub(crate) fn collect(turn: &Turn, body: Body) -> Start {
    let generation = &turn.generation;
    if let Body::Length(length) = body
        && length > generation.body_in_memory as u64
        && turn.shared.spooled.bytes().saturating_add(length) > generation.spool_limit
    {
        return Start::Refused(503, SPOOL_FULL);
    }
    Start::Collect { limit: generation.body_limit }
}

/// Why a body can't be taken in: a status, and the reason for the logs.
pub(crate) type Refused = (u16, &'static str);

/// Where a body goes.
#[derive(Debug)]
pub(crate) struct Intake {
    sink: Sink,
    received: u64,
    /// Most bytes that it may have.
    limit: u64,
}

#[derive(Debug)]
enum Sink {
    Discard,
    Memory(Vec<u8>),
    File(Spool),
    /// To what answers, as far as it has room.
    Pass,
}

/// A body on its way into a temporary file. Blocking threads write it, one piece after the other; meanwhile one more
/// piece is collected, and then the client has to wait.
#[derive(Debug)]
struct Spool {
    share: Share,
    file: Option<Arc<HeldFile>>,
    pending: Vec<u8>,
    written: u64,
    writing: bool,
}

/// Whose body it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose {
    pub(crate) client: Key,
    pub(crate) exchange: Key,
}

impl Intake {
    /// For a body that is wanted whole.
    pub(crate) fn collect(limit: u64) -> Self {
        Self { sink: Sink::Memory(Vec::new()), received: 0, limit }
    }

    /// For a body that is wanted as it comes.
    pub(crate) fn pass(limit: u64) -> Self {
        Self { sink: Sink::Pass, received: 0, limit }
    }

    /// For a body that nobody wants but that stands before the next request.
    pub(crate) fn discard() -> Self {
        Self { sink: Sink::Discard, received: 0, limit: SKIP_BODY }
    }

    /// From now on nobody wants it.
    pub(crate) fn give_up(&mut self) {
        self.sink = Sink::Discard;
        self.limit = self.received + SKIP_BODY;
    }

    /// Whether it goes on as it comes.
    pub(crate) fn passes_on(&self) -> bool {
        matches!(self.sink, Sink::Pass)
    }

    pub(crate) fn is_discarded(&self) -> bool {
        matches!(self.sink, Sink::Discard)
    }

    /// Bytes that have come.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that are kept, or are being written to a file.
    pub(crate) fn holds(&self) -> usize {
        match &self.sink {
            Sink::Memory(memory) => memory.capacity(),
            Sink::File(spool) => {
                spool.pending.capacity() + if spool.writing { WRITE_SIZE } else { 0 }
            }
            Sink::Discard | Sink::Pass => 0,
        }
    }

    /// Whether it has a file.
    pub(crate) fn spools(&self) -> bool {
        matches!(self.sink, Sink::File(_))
    }

    /// Whether a blocking thread writes a piece of it.
    pub(crate) fn is_being_written(&self) -> bool {
        matches!(&self.sink, Sink::File(spool) if spool.writing)
    }

    /// Whether it takes no more until a piece has been written.
    pub(crate) fn is_full(&self) -> bool {
        matches!(&self.sink, Sink::File(spool) if spool.writing && spool.pending.len() >= WRITE_SIZE)
    }

    /// Counts bytes that come.
    ///
    /// # Errors
    /// They are more than the body may have.
    pub(crate) fn count(&mut self, bytes: usize) -> Result<(), Refused> {
        self.received += bytes as u64;
        if self.received > self.limit {
            return Err((413, "the request body is over limits.body"));
        }
        Ok(())
    }

    /// Takes a piece. `is_last`: the body is complete with it.
    ///
    /// # Errors
    /// It is too much.
    pub(crate) fn take(
        &mut self,
        turn: &Turn,
        whose: Whose,
        data: &[u8],
        is_last: bool,
    ) -> Result<(), Refused> {
        self.count(data.len())?;
        let limit = turn.generation.spool_limit;
        match &mut self.sink {
            Sink::Discard | Sink::Pass => {}
            Sink::Memory(memory) => {
                if memory.len() + data.len() <= turn.generation.body_in_memory {
                    memory.extend_from_slice(data);
                    return Ok(());
                }
                let mut share = turn.shared.spooled.share();
                if !share.grow((memory.len() + data.len()) as u64, limit) {
                    return Err((503, SPOOL_FULL));
                }
                let mut pending = std::mem::take(memory);
                pending.extend_from_slice(data);
                let (file, written, writing) = (None, 0, false);
                self.sink = Sink::File(Spool { share, file, pending, written, writing });
            }
            Sink::File(spool) => {
                if !spool.share.grow(data.len() as u64, limit) {
                    return Err((503, SPOOL_FULL));
                }
                spool.pending.extend_from_slice(data);
            }
        }
        self.write(turn, whose, is_last);
        Ok(())
    }

    /// A blocking thread has written a piece. `is_complete`: the end of the body has come.
    ///
    /// # Errors
    /// It could not.
    pub(crate) fn on_written(
        &mut self,
        turn: &Turn,
        whose: Whose,
        result: io::Result<Arc<HeldFile>>,
        is_complete: bool,
    ) -> Result<(), Refused> {
        let Sink::File(spool) = &mut self.sink else { return Ok(()) };
        match result {
            Ok(file) => {
                spool.file = Some(file);
                spool.writing = false;
                self.write(turn, whose, is_complete);
                Ok(())
            }
            Err(error) if descriptors::is_exhaustion(&error) => {
                Err((503, "file descriptors run short"))
            }
            Err(error) => {
                turn.log_error(&format!(
                    "A request body could not be written to a temporary file: {error}."
                ));
                Err((500, "the request body could not be buffered"))
            }
        }
    }

    /// Has a blocking thread write what has been collected, if it is worth it or the end.
    fn write(&mut self, turn: &Turn, Whose { client, exchange }: Whose, is_last: bool) {
        let Sink::File(spool) = &mut self.sink else { return };
        if spool.writing
            || spool.pending.is_empty()
            || (spool.pending.len() < WRITE_SIZE && !is_last)
        {
            return;
        }
        let bytes = std::mem::take(&mut spool.pending);
        let offset = spool.written;
        spool.written += bytes.len() as u64;
        spool.writing = true;
        let file = spool.file.clone();
        let generation = Arc::clone(&turn.generation);
        let lane = Arc::clone(&generation.bodies);
        turn.run_blocking(
            &lane,
            move || {
                let result = match file {
                    Some(file) => Ok(file),
                    None => temporary_file(&generation.temp_dir)
                        .map(|file| Arc::new(HeldFile::new(file, &generation.bodies, true))),
                };
                let result =
                    result.and_then(|file| file.write_all_at(&bytes, offset).map(|()| file));
                Message::Spooled { client, exchange, result }
            },
            move |error| Message::Spooled { client, exchange, result: Err(error) },
        );
    }

    /// What has been collected, once no piece of it is being written.
    pub(crate) fn into_body(self) -> RequestBody {
        match self.sink {
            _ if self.received == 0 => RequestBody::None,
            Sink::Discard | Sink::Pass => RequestBody::None,
            Sink::Memory(memory) => RequestBody::Memory(memory),
            Sink::File(Spool { file: Some(file), share, .. }) => {
                let length = self.received;
                RequestBody::File(Box::new(SpooledBody { file, length, _share: share }))
            }
            Sink::File(_) => RequestBody::None,
        }
    }
}
