//! The loop around it: keys, news and signals come in, a screen goes out.

use std::io::{self, IsTerminal};

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures::StreamExt;
use ratatui::DefaultTerminal;

use super::{
    super::{Scene, Timeline, sampler},
    draw::draw,
    model::{Model, Next},
};
use crate::{
    exit::{Exit, Failure},
    output::Output,
    signals::Signals,
};

/// Shows what runs until the person has seen enough.
pub(crate) async fn run(scene: Scene, output: &Output) -> Result<Exit, Failure> {
    if !io::stdout().is_terminal() {
        return Err(Failure::usage("stdout is no terminal")
            .hint("--once prints tables, --json a line a round"));
    }
    let mut signals = Signals::new()?;
    let (watching, sampling) = sampler::new(scene, Timeline::default());
    let (mut sampled, _viewer) = watching.enter();
    let mut screen = Screen::open()?;
    let mut events = EventStream::new();
    let (mut model, mut seen) = (Model::default(), sampled.borrow().clone());
    let mut sampling = std::pin::pin!(sampling);
    let has_colour = output.palette().has_colour();
    loop {
        let drawn = screen
            .0
            .draw(|frame| draw(frame, &mut model, &seen, has_colour));
        drawn.map_err(Failure::stdout)?;
        tokio::select! {
            () = &mut sampling => return Ok(Exit::Ok),
            changed = sampled.changed() => {
                if changed.is_err() {
                    return Ok(Exit::Ok);
                }
                let news = sampled.borrow_and_update().clone();
                model.saw(&news.view);
                if !model.is_paused {
                    seen = news;
                }
            }
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    match model.press(key, &seen.view) {
                        Next::Stay => {}
                        Next::Quit => return Ok(Exit::Ok),
                        Next::Interrupt => return Ok(Exit::Interrupted),
                    }
                }
                // Another size, for one.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::io("read the keys")(error)),
                None => return Ok(Exit::Ok),
            },
            () = signals.next() => return Ok(Exit::Interrupted),
        }
    }
}

/// The terminal while it is ours; it is as it was before once this is dropped, and before a panic
/// is told.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> Result<Self, Failure> {
        let terminal = ratatui::try_init().map_err(|error| {
            ratatui::restore();
            Failure::io("take over the terminal")(error)
        })?;
        Ok(Self(terminal))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // An error means that the terminal is gone.
        let _ = ratatui::try_restore();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        fs::File,
        io::Read,
        process::{Command, Stdio},
    };

    use rustix::{
        fs::{Mode, OFlags, open},
        pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        termios::{LocalModes, tcgetattr},
    };

    use super::*;

    /// Not a test by itself: what the one below runs in a terminal.
    #[test]
    fn panics_while_the_terminal_is_its_own() {
        if env::var_os(IN_TERMINAL).is_some() {
            let _screen = Screen::open().expect("a terminal");
            panic!("as somebody did not expect");
        }
    }

    #[test]
    fn after_a_panic_the_terminal_is_as_it_was_and_shows_what_was_wrong() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).expect("a terminal");
        grantpt(&ours).expect("a terminal");
        unlockpt(&ours).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("it has a name");
        let theirs = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        let theirs = File::from(theirs.expect("it was just made"));
        let before = tcgetattr(&theirs).expect("a terminal").local_modes;
        let end = || Stdio::from(theirs.try_clone().expect("a file"));
        let this = "dashboard::top::terminal::tests::panics_while_the_terminal_is_its_own";
        let mut child = Command::new(env::current_exe().expect("this one"))
            .args([this, "--exact", "--nocapture"])
            .env(IN_TERMINAL, "1")
            .env("TERM", "xterm-256color")
            .env("RUST_BACKTRACE", "0")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("it starts");
        // Its output fits into the terminal's buffer, so it need not be read at once.
        assert!(!child.wait().expect("it ends").success());
        let after = tcgetattr(&theirs).expect("a terminal").local_modes;
        assert!(after.contains(LocalModes::ICANON | LocalModes::ECHO));
        assert_eq!(after, before);
        let mut shown = vec![0; 16 * 1024];
        let read = File::from(ours)
            .read(&mut shown)
            .expect("it said something");
        let shown = String::from_utf8_lossy(&shown[..read]);
        let (entered, left) = (shown.find("\x1b[?1049h"), shown.find("\x1b[?1049l"));
        let told = shown.find("as somebody did not expect");
        assert!(entered.is_some() && entered < left, "{shown:?}");
        assert!(left < told, "the screen hides what was wrong: {shown:?}");
    }

    /// Set: this process has a terminal of its own.
    const IN_TERMINAL: &str = "MESHCAST_TEST_TERMINAL";
}
