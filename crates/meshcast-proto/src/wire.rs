//! The wire format: the bytes of frames, records and session messages, and the small types they are
//! made of.
//!
//! Every decoder is total: any bytes give a value or a typed error, and each accepted value has one
//! encoding. Nothing here is believed yet; [`identity`](crate::identity) decides that.
//!
//! May use: nothing of the other wings.
//! Must not: keep state (but for memory that nobody uses), know a signature scheme, or know who is
//! a member.

mod ask;
pub mod buffers;
pub(crate) mod codec;
mod fields;
mod frame;
mod id;
mod name;
mod presence;
mod record;
mod seal;
mod sync;
mod time;

pub(crate) use ask::Query;
pub use ask::{AskMessage, Declined, Finding, Inquiry, Question, Relayed, Reply};
pub use codec::CodecError;
pub use frame::{BuildError, Draft, Frame, FrameError, FrameId};
pub(crate) use frame::{Head, Unsigned};
pub(crate) use id::{LogKey, Short, Subject};
pub use id::{Sender, SenderPrefix, Seq, SeqRange};
pub use name::{ChannelName, ChannelNameError, LabelError, NodeName, Region};
pub use presence::{Beat, Places, PresenceMessage, PresenceRecord, RollHash};
pub(crate) use presence::{Claim, beat_hash, place_tag, roll_hash};
pub(crate) use record::Records;
pub use record::{
    Format, MAX_FRAGMENT_LEN, Part, RECORD_OVERHEAD, Record, RecordError, fragment_count,
    fragments, write_record,
};
pub use sync::{Answer, Frames, Holding, Holdings, MemberAddresses, Opened, SyncMessage, Want};
pub use time::{Time, WallTime};
