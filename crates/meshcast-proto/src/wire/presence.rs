//! Messages about who is present on a channel, and what members sign about their own presence.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::wire::{
    codec::{self, BeatBody, CodecError, PresenceBody, PresenceRecordBody},
    fields::{at_most, channel, millis, once},
    id::Sender,
    name::ChannelName,
    seal::{Seal, body_of},
    time::WallTime,
};

/// A message about presence. Only [records](PresenceRecord) and [beats](Beat) say anything about
/// somebody, and those are signed by whom they are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceMessage {
    /// A hash of the speaker and its peers. If it is the same for two nodes, they have the same
    /// peers, so neither has news for the other that came from a peer.
    Links([u8; 16]),
    /// Records of members that are present, or have left.
    Records(Vec<PresenceRecord>),
    /// Heartbeats, each with how long ago that was the latest, as far as the speaker knows.
    Beats(Vec<(Duration, Beat)>),
    /// A hash of all that the speaker has of each channel. A peer that has something else answers
    /// with a [`Self::Roll`].
    Hashes(Vec<(ChannelName, RollHash)>),
    /// Which version of whose record the speaker has. Answered with the records that it lacks, and
    /// a [`Self::Fetch`] for those that the listener lacks.
    Roll(ChannelName, Vec<(Sender, u64)>),
    /// The speaker wants the records of these.
    Fetch(ChannelName, Vec<Sender>),
    /// The speaker is to be handed the beats of these from now on, as they come. A member that is
    /// asked for its own heartbeats makes some.
    Follow(Vec<Sender>),
    /// The speaker needs the beats of these no more.
    Unfollow(Vec<Sender>),
}

/// A hash of which records of a channel there are, and in which version.
///
/// Members are made up by the thousand, with keys and versions that suit. So it is a hash of the
/// whole list in order, for which nobody finds two lists: a sum of hashes is not.
pub type RollHash = [u8; 16];

impl PresenceMessage {
    /// How many entries one message may have: all members present on a channel. 4,096 lines of a
    /// roll take 170 KiB.
    pub const MAX_ENTRIES: usize = 4_096;

    /// How many channels one message compares. 512 of the longest names make 140 KiB.
    pub const MAX_HASHES: usize = 512;

    /// How many bytes of records one message carries; one record always fits.
    pub const MAX_RECORDS_LEN: usize = 64 * 1024;

    /// How many records one message carries. No honest one has fewer than 200 bytes.
    pub const MAX_RECORDS: usize = 512;

    /// How many beats one message carries, in 104 KiB.
    pub const MAX_BEATS: usize = 256;

    /// The number of things it names; those that are signed count three times.
    pub(crate) fn named(&self) -> usize {
        match self {
            Self::Links(_) => 0,
            Self::Records(records) => 3 * records.len(),
            Self::Beats(beats) => 3 * beats.len(),
            Self::Hashes(hashes) => hashes.len(),
            Self::Roll(_, entries) => entries.len(),
            Self::Fetch(_, senders) | Self::Follow(senders) | Self::Unfollow(senders) => {
                senders.len()
            }
        }
    }

    pub(super) fn body(&self) -> PresenceBody<'_> {
        let keys = |senders: &[Sender]| senders.iter().map(|sender| *sender.key()).collect();
        match self {
            Self::Links(hash) => PresenceBody::Links(*hash),
            Self::Records(records) => {
                PresenceBody::Records(records.iter().map(|record| &record.bytes[..]).collect())
            }
            Self::Beats(beats) => PresenceBody::Beats(
                beats
                    .iter()
                    .map(|(age, beat)| (millis(*age), beat.body()))
                    .collect(),
            ),
            Self::Hashes(hashes) => PresenceBody::Hashes(
                hashes
                    .iter()
                    .map(|(channel, hash)| (channel.wire(), *hash))
                    .collect(),
            ),
            Self::Roll(channel, entries) => PresenceBody::Roll(
                channel.wire(),
                entries
                    .iter()
                    .map(|(sender, version)| (*sender.key(), *version))
                    .collect(),
            ),
            Self::Fetch(channel, senders) => PresenceBody::Fetch(channel.wire(), keys(senders)),
            Self::Follow(senders) => PresenceBody::Follow(keys(senders)),
            Self::Unfollow(senders) => PresenceBody::Unfollow(keys(senders)),
        }
    }

    pub(super) fn read(body: PresenceBody<'_>, bytes: &Bytes) -> Result<Self, CodecError> {
        let members = |keys: Vec<[u8; 32]>| {
            at_most(Self::MAX_ENTRIES, keys.len())?;
            once("a member", keys.iter())?;
            Ok(keys.into_iter().map(Sender::new).collect())
        };
        Ok(match body {
            PresenceBody::Links(hash) => Self::Links(hash),
            PresenceBody::Records(records) => {
                at_most(Self::MAX_RECORDS, records.len())?;
                let decode = |record| PresenceRecord::decode(&bytes.slice_ref(record));
                let records: Vec<_> = records.into_iter().map(decode).collect::<Result<_, _>>()?;
                once(
                    "a record",
                    records.iter().map(|it| (&it.channel, it.sender)),
                )?;
                Self::Records(records)
            }
            PresenceBody::Beats(beats) => {
                at_most(Self::MAX_BEATS, beats.len())?;
                once("a member", beats.iter().map(|(_, beat)| beat.sender))?;
                let beat = |(age, body)| Ok((Duration::from_millis(age), Beat::read(body)?));
                Self::Beats(
                    beats
                        .into_iter()
                        .map(beat)
                        .collect::<Result<_, CodecError>>()?,
                )
            }
            PresenceBody::Hashes(hashes) => {
                at_most(Self::MAX_HASHES, hashes.len())?;
                once("a channel", hashes.iter().map(|(channel, _)| *channel))?;
                let hash = |(name, hash)| Ok((channel(name)?, hash));
                Self::Hashes(
                    hashes
                        .into_iter()
                        .map(hash)
                        .collect::<Result<_, CodecError>>()?,
                )
            }
            PresenceBody::Roll(name, entries) => {
                at_most(Self::MAX_ENTRIES, entries.len())?;
                once("a member", entries.iter().map(|(sender, _)| *sender))?;
                let entry = |(sender, version)| (Sender::new(sender), version);
                Self::Roll(channel(name)?, entries.into_iter().map(entry).collect())
            }
            PresenceBody::Fetch(name, keys) => Self::Fetch(channel(name)?, members(keys)?),
            PresenceBody::Follow(keys) => Self::Follow(members(keys)?),
            PresenceBody::Unfollow(keys) => Self::Unfollow(members(keys)?),
        })
    }
}

/// What a member signed about its presence on a channel. Not believed before it is
/// [verified](crate::PresenceTracker).
#[derive(Clone, PartialEq, Eq)]
pub struct PresenceRecord {
    /// Which process.
    pub sender: Sender,
    /// Where.
    pub channel: ChannelName,
    /// Which of its records this is; a higher one replaces it.
    pub version: u64,
    /// Since when it has the channel open, by its wall clock.
    pub since: WallTime,
    /// It watches who is present, so all who have the channel open are to say so.
    pub watching: bool,
    /// It has the channel open no more.
    pub left: bool,
    /// What it says about itself; opaque here.
    pub state: Option<Bytes>,
    /// Its encoded chain.
    pub(crate) chain: Bytes,
    /// The whole record as it travels.
    pub(crate) bytes: Bytes,
}

/// The content of a record, before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Claim<'a> {
    pub(crate) sender: Sender,
    pub(crate) channel: &'a ChannelName,
    pub(crate) version: u64,
    pub(crate) since: WallTime,
    pub(crate) watching: bool,
    pub(crate) left: bool,
    pub(crate) state: Option<&'a [u8]>,
    pub(crate) chain: &'a [u8],
}

impl PresenceRecord {
    /// The longest state in bytes. 1 KiB: a name, a cursor, a load; what is larger is a message.
    pub const MAX_STATE_LEN: usize = 1_024;

    /// Longer than any record: state, chain, channel name, keys and numbers.
    pub const MAX_LEN: usize = Self::MAX_STATE_LEN + codec::MAX_CHAIN_LEN + 512;

    /// Puts a record together; `sign` signs its hash.
    pub(crate) fn build(
        claim: &Claim<'_>,
        sign: impl FnOnce(&blake3::Hash) -> [u8; 64],
    ) -> Result<Self, CodecError> {
        let body = codec::encode(&PresenceRecordBody {
            sender: *claim.sender.key(),
            channel: claim.channel.wire(),
            version: claim.version,
            since: claim.since.unix_millis(),
            watching: claim.watching,
            left: claim.left,
            state: claim.state,
            chain: claim.chain,
        });
        Self::decode(&RECORD.put_on(body, sign))
    }

    /// Reads a record. It shares `bytes`.
    ///
    /// # Errors
    /// [`CodecError`] if it is none, or over a limit.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        at_most(Self::MAX_LEN, bytes.len())?;
        let body: PresenceRecordBody<'_> = codec::decode(body_of(bytes)?)?;
        if let Some(state) = body.state {
            at_most(Self::MAX_STATE_LEN, state.len())?;
        }
        Ok(Self {
            sender: Sender::new(body.sender),
            channel: channel(body.channel)?,
            version: body.version,
            since: WallTime::from_unix_millis(body.since),
            watching: body.watching,
            left: body.left,
            state: body.state.map(|state| bytes.slice_ref(state)),
            chain: bytes.slice_ref(body.chain),
            bytes: bytes.clone(),
        })
    }

    /// The same, in memory of its own: it does not keep the message alive that it came in.
    pub(crate) fn detached(&self) -> Self {
        Self::decode(&Bytes::copy_from_slice(&self.bytes)).unwrap_or_else(|_| self.clone())
    }

    /// What is signed, and the signature.
    pub(crate) fn signed(&self) -> (blake3::Hash, [u8; 64]) {
        RECORD.signed(&self.bytes)
    }
}

/// Lengths only: what applications say of themselves does not belong in a log.
impl fmt::Debug for PresenceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceRecord")
            .field("sender", &self.sender)
            .field("channel", &self.channel)
            .field("version", &self.version)
            .field("watching", &self.watching)
            .field("left", &self.left)
            .field("state", &self.state.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

/// A sign of life, for those who are not connected to the member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Whose.
    pub sender: Sender,
    /// When, by its wall clock; each is later than the one before.
    pub at: WallTime,
    /// Within what time the next follows. It travels in whole milliseconds.
    pub period: Duration,
    /// Where it is present.
    pub places: Places,
    pub(crate) signature: [u8; 64],
}

impl Beat {
    fn body(&self) -> BeatBody {
        let places = &self.places;
        let tags = places.tags.iter().map(|tag| tag.to_le_bytes());
        BeatBody {
            sender: *self.sender.key(),
            at: self.at.unix_millis(),
            period: millis(self.period),
            version: places.version,
            from: places.from.to_le_bytes(),
            upto: places.upto.to_le_bytes(),
            tags: tags.collect(),
            signature: self.signature,
        }
    }

    fn read(body: BeatBody) -> Result<Self, CodecError> {
        let tags = body.tags.into_iter().map(u64::from_le_bytes);
        let places = Places {
            version: body.version,
            from: u64::from_le_bytes(body.from),
            upto: u64::from_le_bytes(body.upto),
            tags: tags.collect(),
        };
        places.check()?;
        Ok(Self {
            sender: Sender::new(body.sender),
            at: WallTime::from_unix_millis(body.at),
            period: Duration::from_millis(body.period),
            places,
            signature: body.signature,
        })
    }
}

/// On which channels a member is present, of those whose tags are in a range. A member
/// that is on many names the next of them with each sign of life, in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The version of the last record that it signed. Later ones are not meant.
    pub version: u64,
    /// The lowest tag of the range.
    pub from: u64,
    /// The highest.
    pub upto: u64,
    /// The tags in it of channels on which it is, in order.
    pub tags: Vec<u64>,
}

impl Places {
    /// How many tags one sign of life has. Nearly all members are on fewer channels on which
    /// somebody watches; one that is on 1,000 names all with 32 signs of life.
    pub const MAX_TAGS: usize = 32;

    /// Whether this says that a record of the same member is not true any more.
    pub(crate) fn deny(&self, tag: u64, version: u64) -> bool {
        let covered = (self.from..=self.upto).contains(&tag);
        version <= self.version && covered && self.tags.binary_search(&tag).is_err()
    }

    /// A range has one form.
    fn check(&self) -> Result<(), CodecError> {
        at_most(Self::MAX_TAGS, self.tags.len())?;
        let within = |tag: &u64| (self.from..=self.upto).contains(tag);
        if self.from > self.upto || !self.tags.iter().all(within) {
            return Err(CodecError::Malformed("a tag out of range".to_owned()));
        }
        if !self.tags.is_sorted_by(|a, b| a < b) {
            return Err(CodecError::Malformed("tags out of order".to_owned()));
        }
        Ok(())
    }

    fn hash_into(&self, hasher: &mut blake3::Hasher) {
        for number in [self.version, self.from, self.upto]
            .iter()
            .chain(&self.tags)
        {
            hasher.update(&number.to_le_bytes());
        }
    }
}

const RECORD: Seal = Seal("meshcast v1 presence record");

/// The tag of a channel in the heartbeats of a member. It depends on both, so nobody can look for
/// two names that share a tag of many members.
pub(crate) fn place_tag(sender: Sender, channel: &ChannelName) -> u64 {
    let hash = blake3::Hasher::new_derive_key("meshcast v1 presence place")
        .update(sender.key())
        .update(channel.wire().as_bytes())
        .finalize();
    let first = hash.as_bytes().first_chunk::<8>();
    first.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

pub(crate) fn beat_hash(
    sender: Sender,
    at: WallTime,
    period: Duration,
    places: &Places,
) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("meshcast v1 presence beat");
    hasher
        .update(sender.key())
        .update(&at.unix_millis().to_le_bytes())
        .update(&millis(period).to_le_bytes());
    places.hash_into(&mut hasher);
    hasher.finalize()
}

/// The hash of a roll: which version of whose record there is, in the order of keys. That of an
/// empty one is all zeros.
pub(crate) fn roll_hash(roll: impl Iterator<Item = (Sender, u64)>) -> RollHash {
    let mut hasher = blake3::Hasher::new_derive_key("meshcast v1 presence roll");
    for (sender, version) in roll {
        hasher.update(sender.key());
        hasher.update(&version.to_le_bytes());
    }
    let mut hash = RollHash::default();
    if hasher.count() > 0 {
        hasher.finalize_xof().fill(&mut hash);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions of eight members for which the sum of the first 8 bytes of the BLAKE3 of each (key,
    /// version) is 0: found in a second, and so would be those for any other sum.
    const VERSIONS: [u64; 8] = [21_323, 64_398, 7_448, 61_235, 49_346, 8_882, 7_454, 10_005];

    #[test]
    fn members_that_are_made_up_for_it_change_the_hash_of_who_is_present() {
        let made_up = (1..).zip(VERSIONS);
        let made_up = made_up.map(|(n, version)| (Sender::new([n; 32]), version));
        let honest = (Sender::new([9; 32]), 1);
        let of = |roll: &[(Sender, u64)]| roll_hash(roll.iter().copied());
        let made_up: Vec<_> = made_up.collect();
        let with = [&made_up[..], &[honest]].concat();
        assert_ne!(of(&made_up), of(&[]));
        assert_ne!(of(&with), of(&[honest]));
        assert_eq!(of(&[]), RollHash::default());
    }
}
