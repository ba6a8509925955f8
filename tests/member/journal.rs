//! The logs of a member.

use std::{
    fs::File,
    io::{BufWriter, Seek, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use meshcast_sim::{At, Entry, Event, Name};

/// What was heard, buffered.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    process: Name,
    file: Arc<Mutex<BufWriter<File>>>,
}

impl Journal {
    pub(super) fn create(path: &Path, process: Name) -> Result<Self> {
        let file = create(path)?;
        Ok(Self {
            process,
            file: Arc::new(Mutex::new(BufWriter::with_capacity(BUFFER, file))),
        })
    }

    pub(super) fn write(&self, t: At, event: Event) -> Result<()> {
        let process = self.process.clone();
        let mut file = self.lock();
        serde_json::to_writer(&mut *file, &Entry { t, process, event })?;
        Ok(file.write_all(b"\n")?)
    }

    pub(super) fn flush(&self) -> Result<()> {
        Ok(self.lock().flush()?)
    }

    fn lock(&self) -> MutexGuard<'_, BufWriter<File>> {
        // A writer that panicked has left at most half a line.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was posted. Each line is in the hands of the system before the post is made.
#[derive(Debug)]
pub(super) struct Posts {
    process: Name,
    file: File,
    /// Where the last line begins.
    last: u64,
    line: Vec<u8>,
}

impl Posts {
    pub(super) fn create(path: &Path, process: Name) -> Result<Self> {
        let file = create(path)?;
        Ok(Self {
            process,
            file,
            last: 0,
            line: Vec::new(),
        })
    }

    pub(super) fn write(&mut self, t: At, event: Event) -> Result<()> {
        let process = self.process.clone();
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Entry { t, process, event })?;
        self.line.push(b'\n');
        self.last = self.file.stream_position()?;
        Ok(self.file.write_all(&self.line)?)
    }

    /// Takes the last line back: the post was refused.
    pub(super) fn take_back(&mut self) -> Result<()> {
        self.file.set_len(self.last)?;
        self.file.seek(std::io::SeekFrom::Start(self.last))?;
        Ok(())
    }
}

fn create(path: &Path) -> Result<File> {
    File::create_new(path).with_context(|| format!("{}", path.display()))
}

/// A flush is due long before this is full at 3,000 deliveries a second.
const BUFFER: usize = 256 * 1024;
