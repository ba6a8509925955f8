//! Identities without a mesh key: an authority that stays elsewhere issues credentials, a node
//! shows its own.
//!
//! ```
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//!
//! use meshcast::{Membership, Node, WallTime};
//! use meshcast::membership::{Authority, Credential, Identity, Keypair, MeshId, Trust};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
//! let now = WallTime::from_unix_millis(u64::try_from(since.as_millis())?);
//!
//! // Once, on a machine of its own. All seeds here are for an example; take random bytes.
//! let mesh = MeshId::new([9; 16]);
//! let authority = Authority::new(mesh, Keypair::from_seed([1; 32]));
//!
//! // For each member: it makes its key, the authority signs who it is.
//! let member = Keypair::from_seed([2; 32]);
//! let credential = authority.issue(&Credential {
//!     subject: member.public(),
//!     name: "fra-1".parse()?,
//!     region: "fra".parse()?,
//!     not_before: now,
//!     not_after: now + Duration::from_secs(30 * 24 * 3600),
//!     serial: 1,
//! });
//!
//! // At each start of the member, with a boot key that is never used again.
//! let identity = Identity::new(&credential, &member, Keypair::from_seed([3; 32]), now)?;
//! let trust = Trust::new(mesh, vec![authority.public()]);
//! let node = Node::builder()
//!     .membership(Membership { identity, trust })
//!     .listen("127.0.0.1:0")
//!     .spawn()
//!     .await?;
//! assert_eq!(node.name().as_str(), "fra-1");
//! # Ok(())
//! # }
//! ```

pub use meshcast_proto::{
    Authority, Chain, ChainError, Credential, Identity, IdentityError, Keypair, Member, MeshId,
    Sender, SignedCredential, Trust,
};
