//! As much of a browser as it takes to hear a room, and an account of what it heard.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader},
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value as Json;

use super::{
    BOUND,
    instance::{Chat, Doors, NAMES, ROOM},
};
use crate::harness::{PATIENCE, eventually};

/// Hears a room until it is dropped. When its instance does not answer, or says nothing for so long
/// that it must be dead, it goes on at the next one with the id of the last event that it had.
pub(super) struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    doors: Doors,
    state: Mutex<State>,
    /// It is to go elsewhere, or to leave.
    told: Condvar,
}

struct State {
    heard: Heard,
    /// Where it is to be.
    at: usize,
    /// Its stream, to be shut when it is to go.
    open: Option<TcpStream>,
    is_leaving: bool,
    /// The names of the instances it was at.
    places: Vec<String>,
}

/// What somebody heard, and where to go on.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// The id of the last event.
    last: String,
    texts: BTreeSet<String>,
    /// The number that is due of each process, by its id.
    due: BTreeMap<String, u64>,
    /// The process of each name.
    processes: BTreeMap<String, String>,
    /// The number of lines it was shown at first, once it was.
    begun_with: Option<usize>,
    /// The count of numbers that it was told it will not get.
    missed: u64,
    /// What came that was not due.
    wrong: Vec<String>,
}

impl Client {
    /// One that is new. It hears messages from now on live, and not among those it is shown at
    /// first, which may be cut short.
    pub(super) fn at(chat: &Chat, at: usize) -> Self {
        let client = Self::after(chat, at, Heard::default());
        eventually("it is shown what was said", BOUND, || {
            client.heard().begun_with
        });
        client
    }

    /// One that goes on where another was.
    pub(super) fn after(chat: &Chat, at: usize, heard: Heard) -> Self {
        let state = State {
            heard,
            at,
            open: None,
            is_leaving: false,
            places: Vec::new(),
        };
        let shared = Arc::new(Shared {
            doors: chat.doors.clone(),
            state: Mutex::new(state),
            told: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || own.listen()));
        let client = Self { shared, thread };
        // Everybody there hears what is said from now on.
        eventually("it is there", BOUND, || {
            (!client.places().is_empty()).then_some(())
        });
        client
    }

    /// Goes to another instance, and is there when this returns.
    pub(super) fn go_to(&self, at: usize) {
        let before = self.places().len();
        let mut state = self.shared.state();
        state.at = at;
        state.hang_up();
        drop(state);
        eventually("it is there", BOUND, || {
            (self.places().len() > before).then_some(())
        });
    }

    pub(super) fn leave(&mut self) {
        let mut state = self.shared.state();
        state.is_leaving = true;
        state.hang_up();
        drop(state);
        self.shared.told.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panic was shown already.
            let _ = thread.join();
        }
    }

    pub(super) fn heard(&self) -> Heard {
        self.shared.state().heard.clone()
    }

    /// The names of the instances it was at.
    pub(super) fn places(&self) -> Vec<String> {
        self.shared.state().places.clone()
    }

    /// Whether it heard all that was said at these instances.
    pub(super) fn has_all(&self, chat: &Chat, at: &[usize]) -> bool {
        let state = self.shared.state();
        let mut said = chat.said.iter().filter(|(place, _)| at.contains(place));
        said.all(|(_, text)| state.heard.texts.contains(text))
    }

    /// Waits until it heard all that was said, or at these instances alone.
    #[track_caller]
    pub(super) fn hears(&self, chat: &Chat, at: &[usize]) {
        eventually(&format!("{:?}, at {at:?}", chat.said.last()), BOUND, || {
            self.has_all(chat, at).then_some(())
        });
    }

    /// Each number of each process came once and in its order.
    #[track_caller]
    pub(super) fn missed_nothing(&self) {
        let heard = self.heard();
        assert_eq!((heard.wrong.as_slice(), heard.missed), (&[][..], 0));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Heard {
    /// The number that is due of each process.
    pub(super) const fn due(&self) -> &BTreeMap<String, u64> {
        &self.due
    }

    pub(super) const fn missed(&self) -> u64 {
        self.missed
    }

    pub(super) const fn begun_with(&self) -> Option<usize> {
        self.begun_with
    }

    /// How many lines it was shown.
    pub(super) fn lines(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    fn take(&mut self, kind: &str, data: &Json) {
        match kind {
            "history" | "lines" => {
                if kind == "history" {
                    self.begun_with = data.as_array().map(Vec::len);
                }
                for line in data.as_array().into_iter().flatten() {
                    self.line(line);
                }
            }
            "gap" => self.gap(data.as_str().unwrap_or_default()),
            _ => {}
        }
    }

    fn line(&mut self, line: &Json) {
        let text = |field: &str| line[field].as_str().expect("text").to_owned();
        let id = text("id");
        let (process, number) = id.split_once('/').expect("process and number");
        let number: u64 = number.parse().expect("a number");
        let due = self.due.entry(process.to_owned()).or_insert(1);
        if number != *due {
            self.wrong.push(format!("{id}, and {due} was due"));
        }
        *due = number + 1;
        self.processes.insert(text("node"), process.to_owned());
        self.texts.insert(text("text"));
    }

    /// `messages 4–7 of fra-1 are missing: …`
    fn gap(&mut self, text: &str) {
        let words: Vec<_> = text.split(' ').collect();
        let (first, last) = words[1].split_once('–').unwrap_or((words[1], words[1]));
        let [first, last] = [first, last].map(|number| number.parse::<u64>().expect("a number"));
        let process = &self.processes[words[3]];
        let due = self.due.get_mut(process).expect("it was heard");
        if first != *due {
            self.wrong.push(format!("{text}, and {due} was due"));
        }
        *due = last + 1;
        self.missed += last + 1 - first;
    }
}

impl State {
    fn hang_up(&mut self) {
        if let Some(open) = self.open.take() {
            // An error means that it is closed.
            let _ = open.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn listen(&self) {
        loop {
            let (at, last) = {
                let state = self.state();
                if state.is_leaving {
                    return;
                }
                (state.at, state.heard.last.clone())
            };
            // However it ended, it goes on.
            let _ended = self.hear(at, &last);
            let mut state = self.state();
            state.open = None;
            if state.at == at {
                state.at = (at + 1) % NAMES.len();
            }
            let waiting = |state: &mut State| !state.is_leaving;
            let told = self.told.wait_timeout_while(state, RETRY, waiting);
            drop(told.expect("no holder panics"));
        }
    }

    fn hear(&self, at: usize, last: &str) -> io::Result<()> {
        let door = self.doors.get(at).ok_or(io::ErrorKind::NotConnected)?;
        let header = match last {
            "" => String::new(),
            last => format!("last-event-id: {last}"),
        };
        let stream = door.ask("GET", &format!("{ROOM}?name=client"), &header)?;
        // An instance says every 5 s that it is alive; that of a busy machine may be late.
        stream.set_read_timeout(Some(PATIENCE))?;
        {
            let mut state = self.state();
            if state.is_leaving || state.at != at {
                return Ok(());
            }
            state.open = Some(stream.try_clone()?);
        }
        let (mut kind, mut data) = (String::new(), Json::Null);
        for line in BufReader::new(stream).lines() {
            let line = line?;
            let mut state = self.state();
            match line.split_once(": ") {
                Some(("event", text)) => text.clone_into(&mut kind),
                Some(("data", text)) => data = serde_json::from_str(text).expect("JSON"),
                Some(("id", text)) => text.clone_into(&mut state.heard.last),
                _ if !line.is_empty() || kind.is_empty() => {}
                _ => {
                    if kind == "at" {
                        let name = data["node"].as_str().expect("a name").to_owned();
                        state.places.push(name);
                    }
                    state.heard.take(&kind, &data);
                    kind.clear();
                }
            }
        }
        Ok(())
    }
}

/// Before it tries elsewhere.
const RETRY: Duration = Duration::from_millis(50);
