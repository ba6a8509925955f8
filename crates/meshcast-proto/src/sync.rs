//! What members say to each other beside gossip, on the protocol `/meshcast/sync/1`.
//!
//! A message is a `SyncBody` of the `codec` module: a byte for its kind (0 members, 1 ping, 2 pong), then a
//! number or the list. It comes from a member over a connection of its own, so nothing in it is signed; what it
//! says of others is hearsay.

use crate::{
    codec::{self, CodecError, MemberBody, SyncBody},
    id::Sender,
};

/// One message of the sync protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncMessage {
    /// Where members can be dialled, as far as the speaker knows, itself included.
    Members(Vec<MemberAddresses>),
    /// Answer with [`Self::Pong`] and the same number.
    Ping(u64),
    /// The answer to [`Self::Ping`].
    Pong(u64),
}

/// Where a member can be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAddresses {
    /// Which process.
    pub sender: Sender,
    /// Its addresses, in the binary form of multiaddresses; opaque here.
    pub addresses: Vec<Vec<u8>>,
}

impl SyncMessage {
    /// How many members one message may name. 4096: a fleet of a thousand nodes, restarted four times.
    pub const MAX_MEMBERS: usize = 4096;

    /// How many addresses one member may have. 32: a node listens on a few, each in two families and over two
    /// transports.
    pub const MAX_ADDRESSES: usize = 32;

    /// The message as it travels. What is over the limits is left out: a list of members is never complete, and
    /// a message that is refused would tell nothing at all.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&match self {
            Self::Members(members) => {
                let members = members.iter().take(Self::MAX_MEMBERS);
                SyncBody::Members(members.map(MemberBody::from).collect())
            }
            Self::Ping(number) => SyncBody::Ping(*number),
            Self::Pong(number) => SyncBody::Pong(*number),
        })
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`CodecError`] if it is none, or over a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(match codec::decode(bytes)? {
            SyncBody::Members(members) => {
                at_most(Self::MAX_MEMBERS, members.len())?;
                let members = members.into_iter().map(|member| {
                    at_most(Self::MAX_ADDRESSES, member.addresses.len())?;
                    Ok(MemberAddresses {
                        sender: Sender::new(member.sender),
                        addresses: member.addresses.into_iter().map(<[u8]>::to_vec).collect(),
                    })
                });
                Self::Members(members.collect::<Result<_, CodecError>>()?)
            }
            SyncBody::Ping(number) => Self::Ping(number),
            SyncBody::Pong(number) => Self::Pong(number),
        })
    }
}

impl<'a> From<&'a MemberAddresses> for MemberBody<'a> {
    fn from(member: &'a MemberAddresses) -> Self {
        let addresses = member.addresses.iter().take(SyncMessage::MAX_ADDRESSES);
        Self {
            sender: *member.sender.key(),
            addresses: addresses.map(Vec::as_slice).collect(),
        }
    }
}

fn at_most(limit: usize, found: usize) -> Result<(), CodecError> {
    if found > limit {
        return Err(CodecError::TooMany { found, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
