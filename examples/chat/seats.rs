//! Who is in a room. Each instance tells the others who is at it: that is its state on the channel.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use meshcast::{BroadcastChannel, Presence, PresenceChanges};
use serde_json::{Value, json};

use crate::http::{Line, Name, Room};

/// The names at this instance, by room.
pub(crate) type Seats = Mutex<BTreeMap<Room, Vec<Name>>>;

/// The state of an instance: names, and how many there are beyond those.
type Here = (Vec<Name>, usize);

/// Somebody's place in a room, until it is dropped.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    room: Room,
    name: Name,
    presence: Presence<Here>,
    changes: PresenceChanges<Here>,
}

impl Seat {
    pub(crate) fn take(
        seats: &Arc<Seats>,
        channel: &BroadcastChannel<Line>,
        room: Room,
        name: Name,
    ) -> Self {
        let presence = channel.presence();
        let seat = Self {
            seats: Arc::clone(seats),
            room,
            name,
            changes: presence.changes(),
            presence,
        };
        seat.change(|names, name| names.push(name.clone()));
        seat
    }

    /// The people in the room, whenever that changes; `None` when the node stops. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Option<Value> {
        self.changes.recv().await?;
        Some(self.everybody())
    }

    /// Who is in the room, at which instance.
    pub(crate) fn everybody(&self) -> Value {
        let members = self.presence.members().into_iter().map(|member| {
            let (names, more) = member.state().cloned().unwrap_or_default();
            json!({
                "node": member.name(),
                "region": member.region(),
                "silent": member.is_silent(),
                "names": names,
                "more": more,
            })
        });
        members.collect()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Name>, &Name)) {
        // Held while it is told, so that the last to be told is how it is.
        let mut seats = self.seats.lock().expect("no holder panics");
        let names = seats.entry(self.room.clone()).or_default();
        change(names, &self.name);
        let told = names.len().min(TOLD);
        let here = (names[..told].to_vec(), names.len() - told);
        // An error means that the node has stopped, and with it all of this.
        let _ = self.presence.set(&here);
        if names.is_empty() {
            seats.remove(&self.room);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.change(|names, name| {
            if let Some(place) = names.iter().position(|it| it == name) {
                names.remove(place);
            }
        });
    }
}

/// As many names as fit the state of a member, which has 1 KiB.
const TOLD: usize = 12;
