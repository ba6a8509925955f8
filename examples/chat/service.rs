//! The chat at one instance: what of it has to do with meshcast.
//!
//! A room is a channel, which is open while somebody here is in it. Nothing that is said is kept
//! here: the mesh remembers it for whoever comes, or comes back.

use std::{convert::Infallible, mem, sync::Arc};

use axum::response::sse::{Event, Sse};
use axum::{Json, Router, extract::Path, extract::State, http::StatusCode, routing::get};
use futures::{Stream, StreamExt, stream};
use meshcast::{Messages, Node, OpenError, Since};

use crate::http::{Line, Listener, Refused, Room, event, greeting, lines, signs_of_life};
use crate::seats::{Seat, Seats};

#[derive(Clone)]
struct Chat {
    node: Node,
    seats: Arc<Seats>,
}

pub(crate) fn routes(node: Node) -> Router {
    let seats = Arc::default();
    let routes = Router::new().route("/rooms/{room}", get(listen).post(say));
    routes.with_state(Chat { node, seats })
}

async fn say(
    State(chat): State<Chat>,
    Path(room): Path<Room>,
    Json(line): Json<Line>,
) -> Result<StatusCode, Refused> {
    // All objects of the channel but this one hear it, and each browser has one: here or elsewhere.
    let channel = chat.node.channel::<Line>(&room.channel())?;
    channel.post_message(&line)?;
    Ok(StatusCode::ACCEPTED)
}

/// The last lines or, for a browser that was here or at another instance before, what it missed;
/// and then live. The id of an event is a cursor, which browsers send when they come back.
async fn listen(
    State(chat): State<Chat>,
    Path(room): Path<Room>,
    Listener { name, last_event }: Listener,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let open = |since| chat.node.channel_since::<Line>(&room.channel(), since);
    let (channel, is_new) = match last_event.map(|id| open(Since::After(id))) {
        // A position in another room is no place in this one.
        None | Some(Err(OpenError::ForeignCursor)) => (open(Since::Last(LINES as u64))?, true),
        Some(channel) => (channel?, false),
    };
    let seat = Seat::take(&chat.seats, &channel, room, name);
    let first = stream::iter([greeting(&chat.node), event("who", seat.everybody())]);
    let guest = Guest {
        messages: channel.messages(),
        seat,
        is_new,
    };
    let rest = stream::unfold(guest, async |mut guest| Some((guest.next().await?, guest)));
    Ok(Sse::new(first.chain(rest).map(Ok)).keep_alive(signs_of_life()))
}

/// A browser that listens. When it goes, so does this, and with the last one the channel is closed.
struct Guest {
    messages: Messages<Line>,
    seat: Seat,
    is_new: bool,
}

impl Guest {
    /// The next event; `None` when the node stops, so that the browser goes on elsewhere.
    async fn next(&mut self) -> Option<Event> {
        let event = if mem::take(&mut self.is_new) {
            let past = self.messages.history().await.messages; // the last of each sender, by time
            event("history", lines(&past[past.len().saturating_sub(LINES)..]))
        } else {
            tokio::select! {
                heard = self.messages.recv() => match heard? {
                    Ok(line) => event("lines", lines(&[line])),
                    Err(missing) => event("gap", missing.to_string()),
                },
                who = self.seat.changed() => return Some(event("who", who?)),
            }
        };
        Some(event.id(self.messages.cursor().to_string()))
    }
}

/// How many lines a newcomer is shown.
const LINES: usize = 50;
