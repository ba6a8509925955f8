//! What is in the tables.

use super::{
    super::{
        picture::Picture,
        view::{State, View, detail},
    },
    grid::{Cell, Column, Grid, Tone},
};

/// What can be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tab {
    #[default]
    Nodes,
    Links,
    Channels,
}

impl Tab {
    pub(super) const ALL: [Self; 3] = [Self::Nodes, Self::Links, Self::Channels];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Nodes => "Nodes",
            Self::Links => "Links",
            Self::Channels => "Channels",
        }
    }

    pub(super) fn table(self, view: &View) -> Grid {
        match self {
            Self::Nodes => nodes(view),
            Self::Links => links(view),
            Self::Channels => channels(view),
        }
    }

    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Nodes => NODES,
            Self::Links => LINKS,
            Self::Channels => CHANNELS,
        }
    }
}

pub(super) fn all(view: &View) -> [Grid; 3] {
    Tab::ALL.map(|tab| tab.table(view))
}

/// All members that are known. Counts that only a node itself has are known of those that were
/// asked.
fn nodes(view: &View) -> Grid {
    let mut grid = Grid::new(NODES);
    for (name, member) in &view.members {
        let (state, tone) = match member.state {
            State::Up => ("up", Tone::Plain),
            State::Elsewhere => ("elsewhere", Tone::Quiet),
            State::Paused => ("! paused", Tone::Bad),
            State::Down => ("! down", Tone::Bad),
            State::Silent => ("! silent", Tone::Bad),
        };
        let counts = member.counts.as_ref();
        let known = |cell: &dyn Fn(&super::super::view::Counts) -> Cell| {
            counts.map_or_else(Cell::unknown, cell)
        };
        let cells = [
            Cell::text(name),
            Cell::text(&member.region),
            Cell::text(state),
            Cell::count(member.links),
            known(&|it| Cell::rate(it.posted_per_s)),
            known(&|it| Cell::rate(it.delivered_per_s)),
            known(&|it| Cell::bytes(it.waiting_bytes)),
            known(&|it| Cell::count(it.behind)),
            known(&|it| Cell::count(it.missed)),
            known(&|it| Cell::count(it.dropped)),
            known(&|it| Cell::count(it.repaired)),
            known(&|it| Cell::count(it.channels)),
            known(&|it| Cell::known(Some(it.history_mib), |mib| format!("{mib:.1} MiB"))),
        ];
        grid.row(name, tone, cells);
    }
    grid
}

/// Who is connected to whom, by pairs of regions.
fn links(view: &View) -> Grid {
    let mut grid = Grid::new(LINKS);
    for (key, link) in &view.links {
        let (state, tone) = match (link.cut, link.links, link.half) {
            (Some(cut), ..) => {
                let way = cut.words(&link.a, &link.b);
                (format!("! cut {way}").trim_end().to_owned(), Tone::Bad)
            }
            (None, 0, _) => ("! none".to_owned(), Tone::Bad),
            (None, _, 0) => ("up".to_owned(), Tone::Plain),
            (None, _, half) => (format!("! {half} one-sided"), Tone::Bad),
        };
        let cells = [
            Cell::text(&link.a),
            Cell::text(&link.b),
            Cell::count(link.links),
            Cell::rtt(link.rtt_us),
            Cell::rtt(link.rtt_max_us),
            Cell::text(&state),
        ];
        grid.row(key, tone, cells);
    }
    grid
}

fn channels(view: &View) -> Grid {
    let mut grid = Grid::new(CHANNELS);
    for (name, channel) in &view.channels {
        let mesh = match channel.mesh {
            Some((least, most)) if least == most => least.to_string(),
            Some((least, most)) => format!("{least}–{most}"),
            None => String::new(),
        };
        let cells = [
            Cell::text(&crate::render::channel(name)),
            Cell::count(channel.members),
            Cell::count(channel.senders),
            Cell::rate(channel.posted_per_s),
            Cell::count(channel.posted),
            Cell::bytes(channel.waiting_bytes),
            Cell::count(channel.behind),
            Cell::text(&mesh),
        ];
        grid.row(name, Tone::Plain, cells);
    }
    grid
}

/// What is to be seen of one row, under headings. `None` if it is there no more.
pub(super) fn details(tab: Tab, key: &str, view: &View, picture: &Picture) -> Option<Details> {
    match tab {
        Tab::Nodes => node(key, view, picture),
        Tab::Links => link(key, view, picture),
        Tab::Channels => view
            .channels
            .contains_key(key)
            .then(|| channel(key, picture)),
    }
}

/// A title, and tables with headings.
pub(super) type Details = (String, Vec<(&'static str, Grid)>);

fn node(name: &str, view: &View, picture: &Picture) -> Option<Details> {
    let member = view.members.get(name)?;
    let title = format!("{name} in {}", member.region);
    let Some(detail) = detail::member(picture, name) else {
        return Some((
            title,
            vec![("It was not asked, or does not answer", Grid::new(&[]))],
        ));
    };
    let mut peers = Grid::new(PEERS);
    for peer in detail.peers {
        let cells = [
            Cell::text(&peer.name),
            Cell::text(&peer.region),
            Cell::rtt(peer.rtt_us),
            Cell::count(peer.shared_channels),
            Cell::bytes(peer.memory_bytes),
            Cell::count(peer.mute),
            Cell::count(peer.offences),
        ];
        let tone = match peer.mute > 0 || peer.throttled {
            true => Tone::Bad,
            false => Tone::Plain,
        };
        peers.row(&peer.peer_id, tone, cells);
    }
    let mut channels = Grid::new(ITS_CHANNELS);
    for it in &detail.channels {
        let cells = [
            Cell::text(&crate::render::channel(it.name)),
            Cell::count(it.objects),
            Cell::count(it.subscribers),
            Cell::count(it.mesh),
            Cell::count(it.senders.unwrap_or(0)),
            Cell::count(it.behind),
            Cell::bytes(it.outbox_bytes),
            Cell::bytes(it.unread_bytes),
            Cell::count(it.tally.missed),
            Cell::count(it.tally.dropped),
            Cell::count(it.tally.repaired),
        ];
        channels.row(it.name, Tone::Plain, cells);
    }
    let mut counters = Grid::new(COUNTERS);
    for (name, count) in detail.counters.iter().filter(|(_, count)| **count > 0) {
        counters.row(name, Tone::Plain, [Cell::text(name), Cell::count(*count)]);
    }
    let tables = vec![
        ("Links", peers),
        ("Channels", channels),
        ("Counters that are not 0", counters),
    ];
    Some((title, tables))
}

fn link(key: &str, view: &View, picture: &Picture) -> Option<Details> {
    let link = view.links.get(key)?;
    let detail = detail::link(picture, &link.a, &link.b);
    let mut grid = Grid::new(EACH_LINK);
    for (i, it) in detail.links.iter().enumerate() {
        let (state, tone) = match it.half {
            true => ("! one-sided", Tone::Bad),
            false => ("up", Tone::Plain),
        };
        let cells = [
            Cell::text(it.a),
            Cell::text(it.b),
            Cell::rtt(it.rtt_us),
            Cell::count(it.mute),
            Cell::text(state),
        ];
        grid.row(&i.to_string(), tone, cells);
    }
    let title = match link.a == link.b {
        true => format!("inside {}", link.a),
        false => format!("{} – {}", link.a, link.b),
    };
    Some((title, vec![("Links, slow ones first", grid)]))
}

fn channel(name: &str, picture: &Picture) -> Details {
    let detail = detail::channel(picture, name);
    let mut members = Grid::new(MEMBERS);
    for it in &detail.members {
        let cells = [
            Cell::text(it.name),
            Cell::text(it.region.unwrap_or_default()),
            Cell::count(it.objects),
            Cell::count(it.subscribers),
            Cell::count(it.mesh),
            Cell::count(it.behind),
            Cell::bytes(it.outbox_bytes),
            Cell::bytes(it.unread_bytes),
            Cell::count(it.tally.missed),
            Cell::count(it.tally.dropped),
            Cell::count(it.tally.repaired),
        ];
        members.row(it.name, Tone::Plain, cells);
    }
    let mut senders = Grid::new(SENDERS);
    for it in &detail.senders {
        let cells = [
            Cell::text(it.name.unwrap_or_default()),
            Cell::text(it.region.unwrap_or_default()),
            Cell::text(&crate::render::short(it.peer_id)),
            Cell::count(it.seq),
        ];
        senders.row(it.peer_id, Tone::Plain, cells);
    }
    let title = format!("channel {}", crate::render::channel(name));
    (title, vec![("Nodes here", members), ("Senders", senders)])
}

const fn text(title: &'static str, width: usize) -> Column {
    Column {
        title,
        width,
        is_number: false,
    }
}

const fn number(title: &'static str) -> Column {
    Column {
        title,
        width: 12,
        is_number: true,
    }
}

/// What people look at first comes first: there may be no room for the others.
const NODES: &[Column] = &[
    text("NAME", 20),
    text("REGION", 14),
    text("STATE", 9),
    number("LINKS"),
    number("POST/S"),
    number("RECV/S"),
    number("QUEUE"),
    number("LAG"),
    number("MISSED"),
    number("DROPS"),
    number("REPAIRED"),
    number("CHANNELS"),
    number("HISTORY"),
];
const LINKS: &[Column] = &[
    text("REGION", 20),
    text("REGION", 20),
    number("LINKS"),
    number("RTT"),
    number("RTT MAX"),
    text("STATE", 30),
];
const CHANNELS: &[Column] = &[
    text("CHANNEL", 32),
    number("MEMBERS"),
    number("SENDERS"),
    number("POST/S"),
    number("POSTED"),
    number("QUEUE"),
    number("LAG"),
    text("MESH", 8),
];
const PEERS: &[Column] = &[
    text("MEMBER", 20),
    text("REGION", 14),
    number("RTT"),
    number("CHANNELS"),
    number("MEMORY"),
    number("MUTE"),
    number("OFFENCES"),
];
const ITS_CHANNELS: &[Column] = &[
    text("CHANNEL", 32),
    number("OBJECTS"),
    number("MEMBERS"),
    number("MESH"),
    number("SENDERS"),
    number("LAG"),
    number("OUTBOX"),
    number("UNREAD"),
    number("MISSED"),
    number("DROPS"),
    number("REPAIRED"),
];
const MEMBERS: &[Column] = &[
    text("NAME", 20),
    text("REGION", 14),
    number("OBJECTS"),
    number("MEMBERS"),
    number("MESH"),
    number("LAG"),
    number("OUTBOX"),
    number("UNREAD"),
    number("MISSED"),
    number("DROPS"),
    number("REPAIRED"),
];
const SENDERS: &[Column] = &[
    text("NAME", 20),
    text("REGION", 14),
    text("PEER ID", 9),
    number("POSTED"),
];
const EACH_LINK: &[Column] = &[
    text("MEMBER", 20),
    text("MEMBER", 20),
    number("RTT"),
    number("MUTE"),
    text("STATE", 12),
];
const COUNTERS: &[Column] = &[text("COUNTER", 32), number("VALUE")];

#[cfg(test)]
mod tests {
    use super::{
        super::super::view::{fixture, view},
        *,
    };

    const FLEET: [&str; 4] = ["fra-1", "fra-2", "iad-1", "nrt-1"];

    fn row(grid: &Grid, key: &str) -> Vec<String> {
        let row = grid.rows.iter().find(|row| row.key == key).expect(key);
        row.cells.iter().map(|cell| cell.text.clone()).collect()
    }

    #[test]
    fn members_links_and_channels_are_tables() {
        let now = fixture::picture(&FLEET);
        let view = view(None, &now);
        let [nodes, links, channels] = all(&view);
        assert_eq!(nodes.rows.len(), 4);
        assert_eq!(
            row(&nodes, "fra-1")[..5],
            ["fra-1", "fra", "up", "3", "-"],
            "rates are not known at first"
        );
        assert_eq!(
            row(&links, "fra|iad"),
            ["fra", "iad", "2", "90.1 ms", "90.1 ms", "up"]
        );
        assert_eq!(row(&channels, "earth")[..3], ["earth", "4", "1"]);
    }

    #[test]
    fn what_does_not_answer_or_is_cut_is_said_in_words() {
        let mut now = fixture::broken(&FLEET, &[("fra", "iad"), ("iad", "fra"), ("nrt", "iad")]);
        now.nodes.get_mut("nrt-1").expect("there").look = None;
        let view = view(None, &now);
        let [nodes, links, _] = all(&view);
        assert_eq!(row(&nodes, "nrt-1")[2], "! silent");
        assert_eq!(row(&links, "fra|iad")[5], "! cut");
        assert_eq!(row(&links, "iad|nrt")[5], "! cut nrt → iad");
        assert!(nodes.rows.iter().any(|row| row.tone == Tone::Bad));
    }

    #[test]
    fn every_row_can_be_opened_and_one_that_is_gone_cannot() {
        let now = fixture::picture(&FLEET);
        let view = view(None, &now);
        for tab in Tab::ALL {
            for row in tab.table(&view).rows {
                let (title, tables) = details(tab, &row.key, &view, &now).expect("it is there");
                assert!(!title.is_empty());
                let rows = tables.iter().map(|(_, table)| table.rows.len());
                // Nodes of one region are linked too.
                assert!(rows.sum::<usize>() > 0, "{title}");
            }
            assert!(details(tab, "gone", &view, &now).is_none());
        }
    }

    #[test]
    fn a_channel_shows_what_was_missed_dropped_and_repaired_at_each_node() {
        let mut now = fixture::picture(&FLEET);
        let look = now.nodes.get_mut("fra-1").and_then(|it| it.look.as_mut());
        let earth = &mut look.expect("it answered").channels[0];
        (earth.missed, earth.unread, earth.dropped, earth.repaired) = (1, 2, 4, 5);
        let (_, tables) =
            details(Tab::Channels, "earth", &view(None, &now), &now).expect("it is there");
        assert_eq!(row(&tables[0].1, "fra-1")[8..], ["3", "4", "5"]);
    }

    #[test]
    fn each_row_fills_its_columns() {
        let now = fixture::picture(&FLEET);
        let view = view(None, &now);
        for tab in Tab::ALL {
            let all = details(tab, &tab.table(&view).rows[0].key, &view, &now);
            let mut grids = all.expect("it is there").1;
            grids.push(("", tab.table(&view)));
            for (_, grid) in grids {
                let columns = grid.columns.len();
                assert!(grid.rows.iter().all(|row| row.cells.len() == columns));
            }
        }
    }
}
