//! The fate of a node's posts, for those who flush or stop it.

use std::fmt;

use meshcast_proto::ChannelName;
use serde::Serialize;

/// The result of [`Node::shutdown`](crate::Node::shutdown).
///
/// `Display` says it in a line for a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Shutdown {
    /// Whether the node wound down. `false` if it was [aborted](crate::Node::abort), or ended with
    /// the runtime it was [given](crate::NodeBuilder::runtime): then nothing is known of what it
    /// left behind.
    pub orderly: bool,
    /// Posts that no member is known to have, by channel. Nobody gets it any more.
    pub undelivered: Vec<Undelivered>,
    /// The number of members connected at the end.
    pub members: usize,
}

/// The result of [`Node::flush`](crate::Node::flush).
///
/// `Display` says it in a line for a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Flushed {
    /// Earlier posts that no member has, by channel: nobody is there who wants them. It is kept,
    /// for whoever comes in time.
    pub undelivered: Vec<Undelivered>,
    /// The number of members connected at the end.
    pub members: usize,
}

/// Posts on a channel that no member is known to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Undelivered {
    /// The channel.
    pub channel: ChannelName,
    /// The number of messages; one that takes several [numbers](crate::Message::seqs) counts as so
    /// many.
    pub messages: u64,
    /// The bytes of them that the node still keeps, as they travel.
    pub bytes: usize,
}

impl Shutdown {
    /// Whether all that was posted is with some member.
    pub fn is_complete(&self) -> bool {
        self.orderly && self.undelivered.is_empty()
    }
}

impl Flushed {
    /// Whether all that was posted before is with some member.
    pub fn is_complete(&self) -> bool {
        self.undelivered.is_empty()
    }
}

impl fmt::Display for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.orderly {
            describe(f, &self.undelivered, self.members)
        } else {
            f.write_str("stopped at once: it is not known what was left undelivered")
        }
    }
}

impl fmt::Display for Flushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, &self.undelivered, self.members)
    }
}

fn describe(
    f: &mut fmt::Formatter<'_>,
    undelivered: &[Undelivered],
    members: usize,
) -> fmt::Result {
    let messages: u64 = undelivered.iter().map(|left| left.messages).sum();
    if messages == 0 {
        return f.write_str("all that was posted is with some member");
    }
    let plural = if messages == 1 { "" } else { "s" };
    write!(f, "no member has {messages} message{plural} posted here (")?;
    for (place, left) in undelivered.iter().take(NAMED).enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        let Undelivered {
            channel,
            messages,
            bytes,
        } = left;
        write!(
            f,
            "{comma}{messages} on {:?}: {bytes} bytes",
            channel.as_str()
        )?;
    }
    if let Some(more @ 1..) = undelivered.len().checked_sub(NAMED) {
        write!(f, ", and on {more} more channels")?;
    }
    match members {
        0 => f.write_str("); nobody was connected"),
        1 => f.write_str("); 1 member was connected"),
        members => write!(f, "); {members} members were connected"),
    }
}

/// How many channels a line names.
const NAMED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_left_behind_where_and_whether_somebody_was_there() {
        let left = |name: &str, messages, bytes| Undelivered {
            channel: ChannelName::new(name).expect("allowed"),
            messages,
            bytes,
        };
        let mut shutdown = Shutdown {
            orderly: true,
            undelivered: Vec::new(),
            members: 0,
        };
        assert!(shutdown.is_complete());
        assert_eq!(
            shutdown.to_string(),
            "all that was posted is with some member"
        );
        shutdown.undelivered.push(left("earth", 1, 321));
        assert!(!shutdown.is_complete());
        assert_eq!(
            shutdown.to_string(),
            "no member has 1 message posted here (1 on \"earth\": 321 bytes); nobody was connected"
        );
        let names = ["moon\n", "mars", "venus", "pluto"];
        shutdown
            .undelivered
            .extend(names.map(|name| left(name, 2, 0)));
        shutdown.members = 2;
        assert_eq!(
            shutdown.to_string(),
            "no member has 9 messages posted here (1 on \"earth\": 321 bytes, 2 on \"moon\\n\": 0 bytes, \
             2 on \"mars\": 0 bytes, and on 2 more channels); 2 members were connected"
        );
        assert!(!Shutdown::default().is_complete(), "nothing is known");
    }
}
