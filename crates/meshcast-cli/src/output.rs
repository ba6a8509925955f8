//! Results go to stdout, all else to stderr; both as JSON on demand.
//!
//! A command that asks something ends when nobody reads its stdout any more. One that runs nodes
//! goes on: it writes both streams on the side, neither waits for a reader nor ends with one, and
//! says on stderr what is not written.

mod pen;

use std::{
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use self::pen::{Pen, Trouble};
use crate::{
    exit::{Failure, FailureJson},
    render::{Colour, Palette, text},
};

/// Where a command writes, and how.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    colour: Colour,
    palette: Palette,
    /// A person reads the JSON.
    pretty: bool,
    /// For what must not be held up.
    pens: Option<Pens>,
}

#[derive(Debug, Clone)]
struct Pens {
    stdout: Pen,
    stderr: Pen,
}

impl Output {
    /// For a command that is there to write, and waits until it can.
    pub(crate) fn new(json: bool, colour: Colour) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            json,
            colour,
            palette: Palette::new(colour, terminal),
            pretty: terminal,
            pens: None,
        }
    }

    /// For a command that runs nodes: nothing it writes fails, or takes time.
    pub(crate) fn of_members(json: bool, colour: Colour) -> Result<Self, Failure> {
        let start = || {
            let stderr = Pen::start("stderr", io::stderr(), missing_in_stderr)?;
            let aside = stderr.clone();
            let stdout = Pen::start("stdout", io::stdout(), move |trouble| {
                aside.write(note(&missing_in_stdout(&trouble), json) + "\n");
                None
            })?;
            Ok(Pens { stdout, stderr })
        };
        let pens = start().map_err(Failure::io("start a thread"))?;
        Ok(Self {
            pens: Some(pens),
            ..Self::new(json, colour)
        })
    }

    /// Where logs go.
    pub(crate) fn log(&self) -> Box<dyn Write + Send> {
        match &self.pens {
            Some(pens) => Box::new(pens.stderr.clone()),
            None => Box::new(io::stderr()),
        }
    }

    /// Gives what was written on the side a moment to leave.
    pub(crate) fn finish(&self) {
        if let Some(pens) = &self.pens {
            // In this order: what goes wrong with one is said on the other.
            pens.stdout.finish(LAST_WORDS);
            pens.stderr.finish(LAST_WORDS);
        }
    }

    /// Whether results are to be JSON.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// The colours of stdout.
    pub(crate) const fn palette(&self) -> Palette {
        self.palette
    }

    /// The width of a line of stdout in characters, if it is a terminal that tells.
    pub(crate) fn width(&self) -> Option<usize> {
        let size = self.pretty.then(crossterm::terminal::size)?;
        size.ok().map(|(columns, _)| columns.into())
    }

    /// Those of stderr.
    pub(crate) fn stderr_palette(&self) -> Palette {
        Palette::new(self.colour, io::stderr().is_terminal())
    }

    /// Writes the one result of a command, ready to read by programs or by people.
    pub(crate) fn result<T: Serialize>(
        &self,
        result: &T,
        human: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if !self.json {
            return self.raw(&human());
        }
        let text = if self.pretty {
            serde_json::to_string_pretty(result)
        } else {
            serde_json::to_string(result)
        };
        self.line(&text.map_err(Failure::failed)?)
    }

    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        self.raw(&format!("{line}\n"))
    }

    pub(crate) fn raw(&self, text: &str) -> Result<(), Failure> {
        if let Some(pens) = &self.pens {
            pens.stdout.write(text);
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(Failure::stdout)
    }

    /// Tells the user something that is no result.
    pub(crate) fn note(&self, note: &str) {
        self.stderr(self::note(note, self.json));
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        if self.json {
            match serde_json::to_string(&FailureJson::from(failure)) {
                Ok(line) => self.stderr(line),
                Err(error) => self.stderr(error.to_string()),
            }
            return;
        }
        let palette = self.stderr_palette();
        let message = lines(&failure.message);
        self.stderr(format!("{} {message}", palette.bad("error:")));
        if let Some(hint) = &failure.hint {
            self.stderr(format!("{} {}", palette.quiet("hint:"), text(hint)));
        }
    }

    /// Nobody reads it if it fails.
    pub(crate) fn stderr(&self, line: String) {
        match &self.pens {
            Some(pens) => pens.stderr.write(line + "\n"),
            None => drop(writeln!(io::stderr().lock(), "{line}")),
        }
    }
}

/// Waits until nobody reads stdout any more, which a command that has nothing to write does not
/// notice otherwise. For ever if it is a file. Cancel-safe.
pub(crate) async fn reader_gone() {
    gone(&io::stdout()).await;
}

/// The same of any file.
async fn gone(file: &impl AsFd) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // Asked for nothing, it tells of errors and hang-ups alone.
        let mut asked = [PollFd::new(file, PollFlags::empty())];
        let at_once = Timespec::default();
        if poll(&mut asked, Some(&at_once)).is_ok_and(|found| found > 0) {
            return;
        }
    }
}

/// A text for people, of several lines if it has some. Those after the first are set in, so that
/// nobody whose words are in it writes what looks like a line of ours.
fn lines(message: &str) -> String {
    let lines: Vec<_> = message.trim_end().split('\n').map(text).collect();
    lines.join("\n  ")
}

fn note(note: &str, json: bool) -> String {
    if json {
        json!({ "note": note }).to_string()
    } else {
        note.to_owned()
    }
}

fn missing_in_stdout(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Broken(error) => {
            format!("stdout takes nothing any more ({error}): the node goes on without")
        }
        Trouble::Lost(lost) => {
            format!("{lost} lines are missing on stdout: its reader is too slow")
        }
    }
}

/// Said where they are missing; nowhere if it takes nothing any more.
fn missing_in_stderr(trouble: Trouble) -> Option<String> {
    match trouble {
        Trouble::Broken(_) => None,
        Trouble::Lost(lost) => Some(format!(
            "({lost} lines are missing here: the reader is too slow)\n"
        )),
    }
}

/// Half of the second within which a gone reader is noticed.
const LOOK: Duration = Duration::from_millis(500);
/// For what was written last to leave when the command ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    /// Of the second that is promised half is left for a machine that is busy.
    #[tokio::test(start_paused = true)]
    async fn a_reader_that_goes_is_noticed_within_half_a_second() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let stays = timeout(Duration::from_secs(60), gone(&writer));
        assert!(stays.await.is_err(), "it reads");
        let goes = async {
            // Just after a look.
            sleep(Duration::from_millis(1)).await;
            drop(reader);
            Instant::now()
        };
        let noticed = async {
            gone(&writer).await;
            Instant::now()
        };
        let (went, noticed) = tokio::join!(goes, noticed);
        assert!(noticed - went <= Duration::from_millis(500));
    }

    #[test]
    fn a_message_of_several_lines_is_shown_as_such_and_cannot_pass_for_another_one() {
        let toml = "mine.toml: TOML parse error at line 1\n  |\n1 | nodes = 3\n";
        assert_eq!(
            lines(toml),
            "mine.toml: TOML parse error at line 1\n    |\n  1 | nodes = 3"
        );
        assert_eq!(
            lines("\u{1b}[2Jno\nhint: run this"),
            format!("{}\n  hint: run this", text("\u{1b}[2Jno"))
        );
    }
}
