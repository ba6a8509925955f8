//! The seal of a message that a member signs and others hand on: the signature stands behind the
//! body, and is over a hash of the body and of a context that no other kind of signature has.

use bytes::Bytes;

use crate::wire::codec::CodecError;

/// The seal of one kind of message, by its context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seal(pub(super) &'static str);

impl Seal {
    /// Puts the signature of a body behind it; `sign` signs the hash.
    pub(super) fn put_on(
        self,
        mut body: Vec<u8>,
        sign: impl FnOnce(&blake3::Hash) -> [u8; 64],
    ) -> Bytes {
        let signature = sign(&self.hash(&[&body]));
        body.extend_from_slice(&signature);
        body.into()
    }

    /// The hash that is signed, and the signature.
    pub(super) fn signed(self, sealed: &[u8]) -> (blake3::Hash, [u8; 64]) {
        match sealed.split_last_chunk::<64>() {
            Some((body, signature)) => (self.hash(&[body]), *signature),
            // It was decoded, so this is not so.
            None => (self.hash(&[]), [0; 64]),
        }
    }

    /// The hash of these bytes, one after the other.
    pub(super) fn hash(self, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key(self.0);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

/// The body of a sealed message, without its signature.
pub(super) fn body_of(sealed: &[u8]) -> Result<&[u8], CodecError> {
    let split = sealed.split_last_chunk::<64>();
    let (body, _) = split.ok_or_else(|| CodecError::Malformed("no signature".to_owned()))?;
    Ok(body)
}
