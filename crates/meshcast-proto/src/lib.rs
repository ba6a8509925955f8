//! The protocol of meshcast as a state machine without I/O: it decides what one node does with what
//! it posts and with what it hears. The crate `meshcast` runs it over libp2p.
//!
//! # What it guarantees
//!
//! A *sender* is one start of a node. On each channel it numbers its records 1, 2, 3 …
//!
//! * **G1 validity.** A [`Frame`] carries the signature of its sender and the [`Chain`] that makes
//!   the sender a member. [`Verifier`] checks both before anything else looks at it. It does not
//!   matter who hands the frame over.
//! * **G2 no duplicate.** A number is released once; after that it is below the cursor of its log.
//!   A log that is forgotten for want of room leaves a tombstone with its cursor, as long as there
//!   is room for that.
//! * **G3 order.** A [`ReorderBuffer`] releases numbers in order, whatever order frames come in.
//! * **G4 no silent gap.** Posts of one sender on one channel come out without a break: each
//!   [`Delivery`] or [`Gap`] begins where the last one ended.
//! * **G5 agreement.** Every node keeps the frames it accepts ([`History`]) and serves them to
//!   peers that lack them, also when their sender is gone.
//! * **G6 bounded.** Nothing in memory grows without a limit from [`Config`] or a named constant,
//!   and everything that a member causes is charged to it ([`Budget`]).
//!
//! [The guarantees in full](https://github.com/meshcast/meshcast/blob/main/docs/guarantees.md),
//! with the tests of each, and [the
//! protocol](https://github.com/meshcast/meshcast/blob/main/docs/protocol.md) as other
//! implementations need it.
//!
//! # How it is put together
//!
//! ```text
//! records ▸ handle_post ───▸ Frame::build ─┬▸ Publish
//!                                          ├▸ History: what peers may ask for
//!                                          └▸ Log ─▸ Reassembly ─▸ Deliver to other objects here
//! frame ▸ Verifier ▸ handle_frame ─────────┬▸ History
//!                                          └▸ Log: ReorderBuffer ─▸ Reassembly ─┬▸ Deliver
//!                                                                               └▸ Missed
//! SyncMessage ▸ handle_sync ───────────────┬▸ what a peer has, wants and acknowledges
//!                                          └▸ Sync: Have, Want, Frames to peers
//! ```
//!
//! * **Ordering.** A *log* is everything that one sender posts on one channel. Its
//!   [`ReorderBuffer`] holds frames that came early and knows which numbers are missing. The
//!   reassembly makes values of records: most are whole, fragments wait for the last one.
//! * **Peers.** A peer is a connected member. Peers tell each other which channels they have open,
//!   and what they [have](Holding) of each log: when a channel is opened, and when something
//!   changes. These [`SyncMessage`]s travel beside gossip.
//! * **Repair.** A missing number is [requested](Want) from a peer that has it. It becomes a
//!   [`Gap`] when nobody can deliver it any more. Requests of peers are answered at a bounded rate.
//! * **Flow control.** The report of a node about a log is the acknowledgement to its sender.
//!   [`Engine::may_post`] says whether a channel has room for more; [`Output::Writable`] says when
//!   it has again.
//! * **Where a log begins.** A node that opens a channel asks its peers. The sender of a log
//!   decides; without it the other peers do; without any, the log begins at the lowest number heard
//!   within [`SETTLE`].
//! * **Trust.** The word of a peer about others is a report, not a proof. It may start a request,
//!   and never moves a cursor. [`Conduct`] counts offences. Links that carry no gossip are found
//!   (`gossip_health`), and replaced.
//!
//! The code stands in wings with arrows one way; the front file of each says what it may use:
//!
//! ```text
//! wire ◂─ identity ◂─ log ◂─ replication ◂─ engine
//! beside them, used by these: bounds, flow_control, conduct, gossip_health
//! by themselves: ask, questions and answers; presence, who is on a channel
//! ```
//!
//! The layout of a frame is drawn at [`Frame`], and the messages of two processes before they
//! believe each other at [`Admission`]. Payloads are bytes to the protocol; the crate
//! `meshcast-value` reads them.
//!
//! # How it is driven
//!
//! `handle_*` takes the world in, `poll_output` and `poll_timeout` give work out. After each
//! `handle_*` the caller drains `poll_output` to `None`; at `poll_timeout` it calls
//! `handle_timeout`. There is no clock, no random source, no I/O, no thread and no `async` in here:
//! time, entropy and frames are arguments, so the same inputs give the same outputs, and a mesh of
//! a hundred nodes runs in one test without waiting.
//!
//! ```
//! use std::sync::Arc;
//! use meshcast_proto::{
//!     ChannelName, Config, Draft, Engine, Format, Identity, MeshKey, NodeName, Output, Part,
//!     Region, Since, Time, Trust, Verifier, WallTime,
//! };
//!
//! let key = MeshKey::from_entropy([7; 48]); // from a random source, like all entropy here
//! let (trust, earth) = (Trust::from(&key), ChannelName::new("earth")?);
//! let (now, wall) = (Time::ZERO, WallTime::from_unix_millis(1_767_225_600_000));
//! let start = |name: &str, entropy: u8| {
//!     let (name, region) = (NodeName::new(name).unwrap(), Region::new("fra").unwrap());
//!     let identity = Identity::from_mesh_key(&key, name, region, [entropy; 64], wall);
//!     let me = Arc::new(trust.verify(identity.chain().as_bytes()).unwrap());
//!     Engine::new(Config::default(), identity, me, entropy.into()) // and a seed for small choices
//! };
//! let (mut amber, mut birch) = (start("amber", 1), start("birch", 2));
//! amber.handle_open(&earth, Since::Now, now)?;
//! birch.handle_open(&earth, Since::Now, now)?;
//!
//! let mut draft = Draft::new(&earth);
//! draft.push(Format::Raw, Part::Whole, b"hello");
//! let seqs = amber.handle_post(&earth, draft, now, wall)?;
//! let Some(Output::Publish(frame)) = amber.poll_output() else { panic!("a post is published") };
//! while amber.poll_output().is_some() {} // for other objects in the process of amber
//!
//! // The frame travels; birch checks who sent it before it takes it in.
//! let member = Verifier::new(trust, Config::default().history.age).verify(&frame, wall)?;
//! birch.handle_frame(frame.sender(), frame, &member, now, wall);
//! let Some(Output::Forward(forward)) = birch.poll_output() else { panic!("others may want it") };
//! assert!(birch.recipients(&forward, std::iter::empty()).is_empty()); // nobody else listens
//! let Some(Output::Deliver(channel, delivery)) = birch.poll_output() else { panic!("it is due") };
//! assert_eq!((channel, delivery.seqs()), (earth, seqs));
//! assert_eq!(delivery.member.credential().name.as_str(), "amber");
//! assert_eq!(&delivery.values().next().unwrap().payload[..], b"hello");
//! assert!(birch.poll_output().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ask;
mod bounds;
mod conduct;
mod engine;
mod flow_control;
mod gossip_health;
mod identity;
mod log;
mod presence;
mod replication;
mod wire;

#[cfg(test)]
mod fixture;

pub use ask::{AskCounters, AskOutput, AskRefused, AskTargets, Asked, Asks, NewQuestion, NoReply};
pub use bounds::{Account, Budget, ENTRY_BYTES, Owner, Payer, Rate, Share, Statement, TokenBucket};
pub use conduct::{Conduct, Offence, Standing, Verdict};
pub use engine::{
    Backfilled, Backlog, Config, Counters, Engine, Forward, HandOver, OpenError, Output, Positions,
    PostError, Resumption, SenderState, Since, Taken, Undelivered,
};
pub use identity::{
    Admission, AdmissionError, Authority, Binding, CLOCK_SKEW, Chain, ChainError, Credential,
    Identity, IdentityError, Keypair, LookedUp, Member, MeshId, MeshKey, MeshKeyError, Reason,
    SignedCredential, Topics, Trust, Verifier, VerifyError, check_signature, is_signed,
};
pub use log::{
    Arrival, Delivery, Gap, GapReason, History, HistoryLimits, Insert, Posted, Recall, Recalled,
    ReorderBuffer, SETTLE, StoredFrame, Values, Via,
};
pub use presence::{
    BEAT, LOST_AFTER, MAX_BEAT, Opens, Presence, PresenceChange, PresenceCounters, PresenceOutput,
    PresenceTracker, SILENT_AFTER,
};
pub use replication::Inbox;
pub use wire::{
    Answer, AskMessage, Beat, BuildError, ChannelName, ChannelNameError, CodecError, Declined,
    Draft, Finding, Format, Frame, FrameError, FrameId, Frames, Holding, Holdings, Inquiry,
    LabelError, MAX_FRAGMENT_LEN, MemberAddresses, NodeName, Opened, Part, Places, PresenceMessage,
    PresenceRecord, Question, RECORD_OVERHEAD, Record, RecordError, Region, Relayed, Reply,
    RollHash, Sender, SenderPrefix, Seq, SeqRange, SyncMessage, Time, WallTime, Want, buffers,
    fragment_count, fragments, write_record,
};
