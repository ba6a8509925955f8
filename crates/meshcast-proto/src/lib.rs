//! The protocol of meshcast: what one node does with what it posts and with what it hears.
//!
//! # What it keeps
//!
//! A *sender* is one start of a node. On each channel it numbers its records 1, 2, 3 …
//!
//! | | |
//! | --- | --- |
//! | G1 validity | A [`Frame`] carries the signature of its sender and the [`Chain`] that makes the sender a member. [`Verifier`] checks both before anything else looks at it; who hands a frame over does not matter. |
//! | G2 no duplicate | A number is released once, then it is below the cursor of its window. A flow that is forgotten for want of room leaves its cursor behind, for as long as that finds room. |
//! | G3 order | A window releases in the order of numbers, whatever order frames come in. |
//! | G4 no silent gap | What one sender gives on one channel follows on without a break: the next [`Delivery`] or [`Gap`] begins where the last ended. |
//!
//! In memory nothing grows without a limit from [`Config`] or a named constant, and no member can take the part
//! of the others. A channel begins with a sender where that says, or else the lowest of the other neighbours, or
//! at the lowest number heard in the first [`SETTLE`] if there is nobody; what is older belongs to nobody here.
//!
//! # How it is put together
//!
//! ```text
//! records ▸ handle_post ──▸ Frame::build ─┬─▸ Publish
//!                                         ├─▸ History         what others may ask for
//!                                         └─▸ Assembler ────▸ Deliver    own values, for other objects here
//! frame ▸ Verifier ▸ handle_frame ────────┬─▸ History
//!                                         └─▸ Flow: Window ▸ Assembler ─┬▸ Deliver
//!                                                                       └▸ Missed
//! ```
//!
//! A *window* puts the frames of one sender on one channel in order and knows what is missing. An *assembler*
//! takes them in order and makes values of them: most frames hold whole values and pass as they are, those with
//! fragments wait for the last one. A *flow* is the two together with the time a hole is waited for. The
//! [`History`] keeps accepted frames so that they can be handed on, and takes room from the sender that fills
//! the most of it. [`Engine`] joins them. What a frame looks like is drawn at [`Frame`], a payload in [`value`],
//! and what two processes say before they believe each other at [`Admission`].
//!
//! # How it is driven
//!
//! `handle_*` takes the world in, `poll_output` and `poll_timeout` give work out. After each `handle_*` the
//! caller drains `poll_output` to `None`; at `poll_timeout` it calls `handle_timeout`. There is no clock, no
//! random source, no I/O, no thread and no `async` in here: time, entropy and frames are arguments, so the same
//! inputs give the same outputs, and a mesh of a hundred nodes runs in one test without waiting.
//!
//! ```
//! use std::sync::Arc;
//! use meshcast_proto::{
//!     ChannelName, Config, Draft, Engine, Format, Identity, MeshKey, NodeName, Output, Part, Region, Since,
//!     Time, Trust, Verifier, WallTime,
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
//! birch.handle_frame(frame, &member, now, wall);
//! let Some(Output::Deliver(channel, delivery)) = birch.poll_output() else { panic!("it is due") };
//! assert_eq!((channel, delivery.seqs()), (earth, seqs));
//! assert_eq!(delivery.member.credential().name.as_str(), "amber");
//! assert_eq!(&delivery.values().next().unwrap().payload[..], b"hello");
//! assert!(birch.poll_output().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
mod bucket;
mod budget;
mod codec;
mod conduct;
mod credential;
mod delivery;
mod digest;
mod engine;
mod flow;
mod flows;
mod frame;
mod history;
mod id;
mod jitter;
mod key;
mod misbehaviour;
mod name;
mod neighbours;
mod pace;
mod record;
mod repair;
mod serving;
mod signature;
mod sync;
mod time;
mod untold;
pub mod value;
mod verify;
mod watchdog;
mod window;

pub use admission::{Admission, AdmissionError, Reason};
pub use budget::{Account, Budget, ENTRY_BYTES, Payer, Statement};
pub use codec::CodecError;
pub use conduct::{Conduct, Standing};
pub use credential::{
    Authority, CLOCK_SKEW, Chain, ChainError, Credential, Identity, IdentityError, Member, SignedCredential,
    Trust,
};
pub use delivery::{Delivery, Gap, GapReason, Posted, Values};
pub use engine::{
    Config, Counters, Engine, HandOver, LookedBack, OpenError, Output, Past, PostError, SenderState, Since,
    Undelivered,
};
pub use frame::{BuildError, Draft, Frame, FrameError, FrameId};
pub use history::{History, HistoryLimits, Kept, Recall, Recalled};
pub use id::{Sender, Seq, SeqRange};
pub use key::{Keypair, MeshId, MeshKey, MeshKeyError, Topics};
pub use misbehaviour::Offence;
pub use name::{ChannelName, ChannelNameError, LabelError, NodeName, Region};
pub use record::{
    Format, MAX_FRAGMENT_LEN, Part, RECORD_OVERHEAD, Record, RecordError, fragment_count, fragments,
    write_record,
};
pub use sync::{Frames, Holding, Holdings, MemberAddresses, Opened, SyncMessage, Want};
pub use time::{Time, WallTime};
pub use verify::{Verifier, VerifyError};
pub use watchdog::{Sign, Watchdog};
pub use window::{Insert, SETTLE, Window};
