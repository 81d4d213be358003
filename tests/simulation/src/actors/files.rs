//! A handler that answers by files: the bytes that come are sent back from a file that has them.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use corepoll::{Action, CloseReason, EvContext, EvHandler, Interest};

use crate::attention::Attention;
use crate::bytes;
use crate::life::Life;
use crate::model::{Incoming, model};

/// The handler.
#[derive(Debug)]
pub struct Answers {
    /// Whether it was opened and closed.
    life: Life,
    /// What has come.
    incoming: Incoming,
    /// That it waits for more.
    attention: Option<Attention>,
    /// The file, once it is known what it has.
    file: Option<File>,
    /// The lengths of the last pieces of it that were sent, as many as may be queued.
    pieces: VecDeque<usize>,
    /// Whether the end has come.
    is_over: bool,
}

impl Answers {
    /// Makes the handler of a new connection.
    pub fn begin() -> Answers {
        Answers {
            life: Life::begin("a handler with files"),
            incoming: Incoming::default(),
            attention: None,
            file: None,
            pieces: VecDeque::new(),
            is_over: false,
        }
    }

    /// Sends back a piece of the connection that begins at `position`.
    fn answer(
        &mut self,
        cx: &mut EvContext<'_>,
        id: u32,
        position: usize,
        length: usize,
    ) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file.try_clone()?,
            None => self.file.insert(file_of(id)?).try_clone()?,
        };
        let model = model();
        let most = model.plan.timing.budget.files_per_connection;
        if let Err(error) = cx.send_file(file, position as u64, length as u64) {
            if error.kind() == io::ErrorKind::QuotaExceeded {
                model.excuse(id, "its peer takes no files");
                if self.pieces.len() < most {
                    model.violated(format_args!("fewer than {most} files are too many"));
                }
            }
            return Err(error);
        }
        self.pieces.push_back(length);
        if self.pieces.len() > most {
            self.pieces.pop_front();
        }
        let queued: usize = self.pieces.iter().sum();
        if cx.pending_output() > queued + size_of::<u32>() {
            model.violated(format_args!("more than {most} files are queued"));
        }
        Ok(())
    }
}

impl EvHandler for Answers {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.set_deadlines(model().plan.deadlines())?;
        let ends = (cx.local_addr()?, cx.peer_addr()?);
        self.attention = Some(model().attend(ends.0, ends.1, "a handler with files"));
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        let before = self.incoming.position;
        let chunk = cx.read()?;
        if chunk.is_empty() {
            self.incoming.end();
            self.attention = None;
            self.is_over = true;
            if cx.pending_output() == 0 {
                return Ok(Action::Close);
            }
            // The peer may take longer than a connection that closes has for its output.
            cx.set_interest(Interest::NONE)?;
            return Ok(Action::Keep);
        }
        if !self.incoming.take(&chunk) {
            return Ok(Action::Close);
        }
        let length = self.incoming.position - before;
        cx.write(&chunk[..chunk.len() - length])?;
        drop(chunk);
        if let Some(id) = self.incoming.id().filter(|_| length > 0) {
            self.answer(cx, id, before, length)?;
        }
        Ok(Action::Keep)
    }

    fn on_write(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        Ok(if self.is_over { Action::Close } else { Action::Keep })
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.attention = None;
        self.life.end_whole(self.is_over, &self.incoming, &reason);
    }
}

/// Makes a file with the bytes of a connection. It is this machine's, as a simulation has none, and is
/// gone when it is closed.
fn file_of(id: u32) -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("corepoll-simulation-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(path)?;
    let mut content = vec![0; model().talks[id as usize].plan.length];
    bytes::fill(id, 0, &mut content);
    file.write_all(&content)?;
    Ok(file)
}
