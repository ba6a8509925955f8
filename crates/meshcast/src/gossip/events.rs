//! Events for the user of gossip, and reports of its connections.

use std::sync::Arc;

use libp2p::PeerId;
use meshcast_proto::{Frame, Member, Offence};

use super::topic::Topic;

/// What gossip reports.
#[derive(Debug)]
pub(crate) enum GossipEvent {
    /// A frame came for the first time.
    Frame {
        /// Who brought it.
        from: PeerId,
        frame: Frame,
        /// Who posted it: by its signature, or by its own connection.
        member: Arc<Member>,
    },
    /// A peer listens on other topics than before.
    Listens,
    /// Frames were dropped, or not given, since a peer does not take them.
    Slow { peer: PeerId, dropped: usize },
    /// A peer has taken nothing for a minute, though something waits for it, or its stream broke
    /// again and again.
    Deaf(PeerId),
    /// A peer said so many times what no honest one says.
    Misbehaved {
        peer: PeerId,
        offence: Offence,
        times: u64,
    },
    /// A peer has no gossip.
    Unsupported(PeerId),
}

/// What a handler tells its behaviour.
#[derive(Debug)]
pub(crate) enum Report {
    /// The peer listens on these topics from now on, or does so no more.
    Listens(Vec<(Topic, bool)>),
    /// The peer brought a frame, and this is known to have posted it.
    Frame(Frame, Arc<Member>),
    /// The peer brought what is no frame of a member.
    NoFrame {
        /// The peer must have known.
        is_forgery: bool,
    },
    /// The peer said what no member says.
    Unreadable,
    /// The peer does not speak the protocol.
    Unsupported,
    /// The stream to the peer broke again and again.
    Broken,
}

/// Why a frame was given to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPublished {
    /// No peer listens: they fetch it if one comes.
    #[error("no peer has the channel open")]
    NoPeer,
    #[error("the channel was left")]
    NotJoined,
    #[error("none of the peers has room for it")]
    NoRoom,
}

/// What came by gossip so far, copies included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GossipCounters {
    /// Frames of members.
    pub(crate) frames: u64,
    /// What was none.
    pub(crate) invalid: u64,
}
