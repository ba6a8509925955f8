//! Who is believed: keys, credentials and their chains, signatures, the messages of the gate, and
//! the verifier of frames.
//!
//! Secrets stay in here. Only `signature` names the libraries that compute.
//!
//! May use: [`wire`](crate::wire).
//! Must not: know what is missing, kept or connected, or ask for the time itself.

mod admission;
mod ask;
mod binding;
mod credential;
mod key;
mod presence;
mod sealed;
mod sign;
mod signature;
mod verify;

pub use admission::{Admission, AdmissionError, Reason};
pub use binding::Binding;
pub use credential::{
    Authority, CLOCK_SKEW, Chain, ChainError, Credential, Identity, IdentityError, Member,
    SignedCredential, Trust,
};
pub use key::{Keypair, MeshId, MeshKey, MeshKeyError, Topics};
pub(crate) use sealed::Sealed;
pub use verify::{LookedUp, Verifier, VerifyError, check_signature, is_signed};
