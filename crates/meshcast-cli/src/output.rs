//! Results go to stdout, all else to stderr; both as JSON on demand.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::{
    exit::{Failure, FailureJson},
    render::{Palette, text},
};

/// Where a command writes, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    palette: Palette,
    /// A person reads the JSON.
    pretty: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            json,
            palette: Palette::for_terminal(terminal),
            pretty: terminal,
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
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(Failure::stdout)
    }

    /// Tells the user something that is no result.
    pub(crate) fn note(&self, note: &str) {
        self.stderr(if self.json {
            json!({ "note": note }).to_string()
        } else {
            note.to_owned()
        });
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
        let palette = Palette::for_terminal(io::stderr().is_terminal());
        self.stderr(format!("{} {}", palette.bad("error:"), text(&failure.message)));
        if let Some(hint) = &failure.hint {
            self.stderr(format!("{} {}", palette.quiet("hint:"), text(hint)));
        }
    }

    /// Nobody reads it if it fails.
    fn stderr(&self, line: String) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}
