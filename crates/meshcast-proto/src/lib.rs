//! The protocol of meshcast.

mod admission;
mod codec;
mod credential;
mod delivery;
mod engine;
mod flow;
mod flows;
mod frame;
mod history;
mod id;
mod key;
mod name;
mod record;
mod sync;
mod time;
pub mod value;
mod verify;
mod window;

pub use admission::{Admission, AdmissionError, Reason};
pub use codec::CodecError;
pub use credential::{
    Authority, CLOCK_SKEW, Chain, ChainError, Credential, Identity, IdentityError, Member, SignedCredential,
    Trust,
};
pub use delivery::{Delivery, Gap, GapReason, Posted, Values};
pub use engine::{Config, Counters, Engine, OpenError, Output, PostError, SenderState};
pub use frame::{BuildError, Frame, FrameError, FrameId};
pub use history::{History, HistoryLimits};
pub use id::{Sender, Seq, SeqRange};
pub use key::{Keypair, MeshId, MeshKey, MeshKeyError};
pub use name::{ChannelName, ChannelNameError, LabelError, NodeName, Region};
pub use record::{
    Format, MAX_FRAGMENT_LEN, Part, RECORD_OVERHEAD, Record, RecordError, fragment_count, fragments,
    write_record,
};
pub use sync::{MemberAddresses, SyncMessage};
pub use time::{Time, WallTime};
pub use verify::{Verifier, VerifyError};
pub use window::{Insert, SETTLE, Window};
