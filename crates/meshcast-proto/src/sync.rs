//! What members say to each other beside gossip, on the protocol `/meshcast/sync/1`.

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
    /// The message as it travels.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&match self {
            Self::Members(members) => SyncBody::Members(members.iter().map(MemberBody::from).collect()),
            Self::Ping(number) => SyncBody::Ping(*number),
            Self::Pong(number) => SyncBody::Pong(*number),
        })
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`CodecError`] if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(match codec::decode(bytes)? {
            SyncBody::Members(members) => {
                let members = members.into_iter().map(|member| MemberAddresses {
                    sender: Sender::new(member.sender),
                    addresses: member.addresses.into_iter().map(<[u8]>::to_vec).collect(),
                });
                Self::Members(members.collect())
            }
            SyncBody::Ping(number) => Self::Ping(number),
            SyncBody::Pong(number) => Self::Pong(number),
        })
    }
}

impl<'a> From<&'a MemberAddresses> for MemberBody<'a> {
    fn from(member: &'a MemberAddresses) -> Self {
        Self {
            sender: *member.sender.key(),
            addresses: member.addresses.iter().map(Vec::as_slice).collect(),
        }
    }
}
