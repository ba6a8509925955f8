//! A terminal, as people sit in front of.

use std::{
    fs::File,
    io::{Read, Write},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use super::{PATIENCE, Process, eventually};

/// A terminal with a program in it.
pub(crate) struct Terminal {
    keys: File,
    pub(crate) process: Process,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).expect("a terminal");
        grantpt(&ours).expect("a terminal");
        unlockpt(&ours).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("it has a name");
        let theirs = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        let theirs = File::from(theirs.expect("it was just made"));
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&theirs, size).expect("a terminal");
        command.env("TERM", "xterm-256color");
        let process = Process::start_in(command, &theirs);
        let keys = File::from(ours);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (shown, mut from) = (Arc::clone(&screen), keys.try_clone().expect("a file"));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error means that nobody has it open any more.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                shown
                    .lock()
                    .expect("no holder panics")
                    .process(&bytes[..read]);
            }
        });
        // Held, so that what it was left as can be looked at when the program has ended.
        std::mem::forget(theirs);
        Self {
            keys,
            process,
            screen,
        }
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        eventually(text, PATIENCE, || self.text().contains(text).then_some(()));
    }

    pub(crate) fn text(&self) -> String {
        let screen = self.screen.lock().expect("no holder panics");
        screen.screen().contents()
    }

    /// Whether anything on the screen has a colour, or is bold or dim.
    pub(crate) fn is_coloured(&self) -> bool {
        let screen = self.screen.lock().expect("no holder panics");
        let screen = screen.screen();
        let (rows, columns) = screen.size();
        let mut cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        cells.any(|(row, column)| {
            screen.cell(row, column).is_some_and(|cell| {
                cell.fgcolor() != vt100::Color::Default || cell.bold() || cell.dim()
            })
        })
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it is open");
    }

    /// Whether what is typed is shown and can be edited, as a shell has it.
    pub(crate) fn is_plain(&self) -> bool {
        let modes = tcgetattr(&self.keys).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Its status, once it has left the terminal as it was.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Option<i32> {
        let ended = std::mem::replace(&mut self.process, Process::start(Command::new("true")));
        let (status, _, _) = ended.end(PATIENCE);
        eventually("the screen is the one from before", PATIENCE, || {
            let screen = self.screen.lock().expect("no holder panics");
            let screen = screen.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        });
        assert!(self.is_plain(), "{}", self.text());
        status.code()
    }
}
