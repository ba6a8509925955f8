//! The outcomes of what was given to the engine.

/// What became of a frame that came by gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It brought something new: kept, and delivered once it is in order.
    New,
    /// It brought nothing new.
    Duplicate,
    /// It is our own, or of a channel that is not open here.
    Unwanted,
    /// A replay, as far as can be told: see [`Engine::handle_frame`](crate::Engine::handle_frame).
    Stale,
    /// It came ahead of a hole, and there was no room to wait.
    NoRoom,
}

impl Taken {
    /// A word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Duplicate => "duplicate",
            Self::Unwanted => "unwanted",
            Self::Stale => "stale",
            Self::NoRoom => "no room to wait for earlier ones",
        }
    }
}
