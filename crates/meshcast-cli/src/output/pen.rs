//! Writes on a thread of its own, so that a member neither waits for whoever reads what it says,
//! nor ends with them.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// A stream to write lines to without waiting. Clones write to the same.
#[derive(Debug, Clone)]
pub(super) struct Pen(Arc<Shared>);

/// What goes wrong with a stream.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It takes no lines any more: said once, until it takes one again.
    Broken(io::Error),
    /// So many lines were left out since the last that was written.
    Lost(u64),
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Line>,
    /// What those that wait are charged with.
    bytes: usize,
    /// The number of lines left out since the last that waits, as there was no room.
    lost: u64,
    /// One has been taken out and is not written yet.
    is_writing: bool,
}

#[derive(Debug, Default)]
struct Line {
    /// So many that came before it were left out.
    lost: u64,
    text: Vec<u8>,
}

impl Pen {
    /// `tell` hears of trouble, and may answer with a line to be written first.
    pub(super) fn start(
        name: &str,
        stream: impl Write + Send + 'static,
        tell: impl FnMut(Trouble) -> Option<String> + Send + 'static,
    ) -> io::Result<Self> {
        let pen = Self(Arc::default());
        let shared = Arc::clone(&pen.0);
        let run = move || shared.run(stream, tell);
        // It ends with the process: it may be held up in a write that never ends.
        drop(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(pen)
    }

    /// Leaves it out, and counts it, if too much waits already.
    pub(super) fn write(&self, text: impl Into<Vec<u8>>) {
        let text = text.into();
        let cost = text.len() + LINE_COST;
        let mut state = self.0.lock();
        if state.bytes + cost > WAITING {
            state.lost += 1;
            return;
        }
        state.bytes += cost;
        let lost = mem::take(&mut state.lost);
        state.waiting.push_back(Line { lost, text });
        self.0.changed.notify_all();
    }

    /// Waits until all is written that was there before, at most for a while.
    pub(super) fn finish(&self, patience: Duration) {
        let unwritten =
            |state: &mut State| state.is_writing || !state.waiting.is_empty() || state.lost > 0;
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.0.lock(), patience, unwritten);
        drop(waited);
    }
}

/// For logs: each event is one write.
impl Write for Pen {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        Self::write(self, text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut stream: impl Write, mut tell: impl FnMut(Trouble) -> Option<String>) {
        let mut broken = false;
        loop {
            let Line { lost, text } = self.next();
            let first = (lost > 0).then(|| tell(Trouble::Lost(lost))).flatten();
            // What broke off may have been half a line.
            let first = if broken {
                Some("\n".to_owned() + &first.unwrap_or_default())
            } else {
                first
            };
            let written = first
                .map_or(Ok(()), |first| stream.write_all(first.as_bytes()))
                .and_then(|()| stream.write_all(&text))
                .and_then(|()| stream.flush());
            match written {
                Ok(()) => broken = false,
                Err(_) if broken => {}
                Err(error) => {
                    broken = true;
                    // There is nowhere to write it.
                    let _ = tell(Trouble::Broken(error));
                }
            }
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    /// Waits for a line; an empty one if others were left out since the last.
    fn next(&self) -> Line {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.waiting.pop_front() {
                state.bytes -= line.text.len() + LINE_COST;
                state.is_writing = true;
                return line;
            }
            if state.lost > 0 {
                state.is_writing = true;
                let lost = mem::take(&mut state.lost);
                return Line {
                    lost,
                    text: Vec::new(),
                };
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What may wait to be written: minutes of events, and the report of fifty nodes ten times over.
const WAITING: usize = 1 << 20;
/// What a line costs besides its text.
const LINE_COST: usize = 32;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A stream that writes only when it is told how the next write ends.
    struct Told {
        ends: Receiver<io::Result<()>>,
        written: SyncSender<String>,
    }

    impl Write for Told {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.ends.recv().unwrap_or(Ok(()))?;
            let written = String::from_utf8_lossy(text).into_owned();
            // An error means that the test has seen enough.
            let _ = self.written.send(written);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Scene {
        pen: Pen,
        ends: SyncSender<io::Result<()>>,
        written: Receiver<String>,
        told: Receiver<String>,
    }

    fn scene() -> Scene {
        let (ends, to_end) = sync_channel(100);
        let (to_write, written) = sync_channel(100);
        let (to_tell, told) = sync_channel(100);
        let stream = Told {
            ends: to_end,
            written: to_write,
        };
        let tell = move |trouble| {
            let text = match trouble {
                Trouble::Broken(error) => format!("broken: {:?}", error.kind()),
                Trouble::Lost(lost) => format!("lost {lost}\n"),
            };
            to_tell.send(text.clone()).expect("there is room");
            Some(text)
        };
        Scene {
            pen: Pen::start("test", stream, tell).expect("a thread"),
            ends,
            written,
            told,
        }
    }

    fn next(heard: &Receiver<String>) -> String {
        heard.recv_timeout(PATIENCE).expect("in time")
    }

    #[test]
    fn a_reader_that_is_gone_is_told_once_and_holds_up_nobody() {
        let scene = scene();
        for _ in 0..3 {
            scene
                .ends
                .send(Err(io::ErrorKind::BrokenPipe.into()))
                .expect("room");
            Pen::write(&scene.pen, "line\n");
        }
        scene.pen.finish(PATIENCE);
        assert_eq!(next(&scene.told), "broken: BrokenPipe");
        assert!(scene.told.try_recv().is_err(), "once is enough");
        // As after a disk that was full.
        for _ in 0..2 {
            scene.ends.send(Ok(())).expect("room");
        }
        Pen::write(&scene.pen, "again\n");
        assert_eq!(
            [next(&scene.written), next(&scene.written)],
            ["\n", "again\n"]
        );
        scene
            .ends
            .send(Err(io::ErrorKind::BrokenPipe.into()))
            .expect("room");
        Pen::write(&scene.pen, "line\n");
        assert_eq!(next(&scene.told), "broken: BrokenPipe");
    }

    #[test]
    fn what_a_slow_reader_does_not_take_is_left_out_and_counted() {
        let scene = scene();
        let line = vec![b'x'; 1 << 16];
        for _ in 0..100 {
            Pen::write(&scene.pen, line.clone());
        }
        let state = scene.pen.0.lock();
        let (kept, lost) = (
            state.waiting.len() + usize::from(state.is_writing),
            state.lost,
        );
        assert!(state.bytes <= WAITING, "{}", state.bytes);
        drop(state);
        assert_eq!(kept as u64 + lost, 100);
        assert!(lost > 80, "{lost}");
        for _ in 0..=kept {
            scene.ends.send(Ok(())).expect("room");
        }
        for _ in 0..kept {
            assert_eq!(next(&scene.written).len(), line.len());
        }
        // Where they are missing.
        assert_eq!(next(&scene.written), format!("lost {lost}\n"));
        assert_eq!(next(&scene.told), format!("lost {lost}\n"));
        scene.pen.finish(PATIENCE);
    }

    #[test]
    fn a_stream_that_takes_lines_again_is_told_how_many_were_left_out() {
        let scene = scene();
        for _ in 0..100 {
            Pen::write(&scene.pen, vec![b'x'; 1 << 16]);
        }
        let state = scene.pen.0.lock();
        let kept = state.waiting.len() + usize::from(state.is_writing);
        let lost = state.lost;
        drop(state);
        for _ in 0..kept {
            scene
                .ends
                .send(Err(io::ErrorKind::BrokenPipe.into()))
                .expect("room");
        }
        scene.ends.send(Ok(())).expect("room");
        assert_eq!(next(&scene.told), "broken: BrokenPipe");
        assert_eq!(next(&scene.told), format!("lost {lost}\n"));
        assert_eq!(next(&scene.written), format!("\nlost {lost}\n"));
    }

    #[test]
    fn a_write_that_never_ends_holds_up_the_end_for_a_bounded_time() {
        let scene = scene();
        Pen::write(&scene.pen, "line\n");
        scene.pen.finish(Duration::from_millis(1));
    }
}
