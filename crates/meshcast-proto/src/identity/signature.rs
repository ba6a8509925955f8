//! Ed25519 in its strict form. This is the only file that names the libraries.
//!
//! Single signatures are made and checked by AWS-LC, the fastest well-kept implementation: 6 and 24
//! µs, against 13 and 31 µs with dalek. Every message pays for one unless it shares its frame.
//! AWS-LC cannot check batches; dalek does that.
//!
//! Both follow the same strict rules (dalek's `verify_strict`): s is below the order of the group;
//! the public key and R are canonical and not of small order; and the equation holds without the
//! cofactor.

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use ed25519_dalek::{Signature, Signer, VerifyingKey};

use crate::wire::Short;

/// The secret half of a pair.
#[derive(Clone)]
pub(crate) struct SigningKey {
    /// Wiped when dropped.
    key: ed25519_dalek::SigningKey,
    /// The same, for AWS-LC.
    fast: Option<Arc<Ed25519KeyPair>>,
}

impl SigningKey {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let fast = Ed25519KeyPair::from_seed_and_public_key(seed, key.verifying_key().as_bytes());
        Self {
            key,
            fast: fast.ok().map(Arc::new),
        }
    }

    pub(crate) fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, hash: &blake3::Hash) -> [u8; 64] {
        let fast = || {
            let signature = self.fast.as_ref()?.try_sign(hash.as_bytes()).ok()?;
            signature.as_ref().try_into().ok()
        };
        // A hash has only one signature, whichever library makes it.
        fast().unwrap_or_else(|| self.key.sign(hash.as_bytes()).to_bytes())
    }
}

/// The public half of a pair: a canonical point that is not of small order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PublicKey(VerifyingKey);

impl PublicKey {
    /// `None` if the bytes are no such point.
    pub(crate) fn new(bytes: [u8; 32]) -> Option<Self> {
        if is_bad_point(&bytes) {
            return None;
        }
        VerifyingKey::from_bytes(&bytes).ok().map(Self)
    }

    /// Whether its owner signed this hash.
    pub(crate) fn signed(&self, hash: &blake3::Hash, signature: &[u8; 64]) -> bool {
        !has_bad_point(signature)
            && UnparsedPublicKey::new(&ED25519, self.0.as_bytes())
                .verify(hash.as_bytes(), signature)
                .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", Short(self.0.as_bytes()))
    }
}

/// Whether the owners of these keys signed these hashes, checked as one batch: for many, in less
/// than half the time.
///
/// `false` means that at least one signature failed, or may have.
///
/// `true` means that [`PublicKey::signed`] accepts each of them, but for one case. A single check
/// compares points exactly; a batch checks that a sum with random-looking weights vanishes, and a
/// part of small order in R may vanish with it. Only the owner of the secret key can put such a
/// part there: for anybody else that is as hard as forging. So a member can sign frames of its own
/// that some nodes accept and others refuse. It could do as much by signing two frames with one
/// number. A node must not vouch for such frames to nodes that check each alone.
///
/// The weights come from a hash over everything that is checked (dalek's `ZeroRng` under its
/// transcript), not from a random source: the same signatures always give the same answer.
pub(crate) fn all_signed<'a>(
    signed: impl Iterator<Item = (&'a PublicKey, &'a blake3::Hash, &'a [u8; 64])>,
) -> bool {
    let (mut keys, mut hashes, mut signatures) = (Vec::new(), Vec::<&[u8]>::new(), Vec::new());
    for (key, hash, signature) in signed {
        if has_bad_point(signature) {
            return false;
        }
        keys.push(key.0);
        hashes.push(hash.as_bytes());
        signatures.push(Signature::from_bytes(signature));
    }
    ed25519_dalek::verify_batch(&hashes, &signatures, &keys).is_ok()
}

/// Whether R of this signature is a bad point.
fn has_bad_point(signature: &[u8; 64]) -> bool {
    is_bad_point(&std::array::from_fn(|i| signature[i]))
}

/// Whether these bytes are a point of small order, or not canonical.
fn is_bad_point(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    // The top bit is the sign of x.
    y[31] &= 0x7f;
    let at_least_p = y[31] == 0x7f && y[0] >= 0xed && y[1..31].iter().all(|byte| *byte == 0xff);
    at_least_p || SMALL_ORDER.contains(&y)
}

/// The y of all points of small order.
const SMALL_ORDER: [[u8; 32]; 5] = [
    // The neutral point, y = 1.
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    // That of order 2, y = -1.
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // Those of order 4.
    [0; 32],
    // Those of order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

#[cfg(test)]
mod tests {
    use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION};
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha512};

    use super::*;

    proptest! {
        #[test]
        fn both_libraries_make_the_same_signature(seed: [u8; 32], message: [u8; 32]) {
            let (key, hash) = (SigningKey::from_seed(&seed), blake3::Hash::from(message));
            prop_assert!(key.fast.is_some());
            prop_assert_eq!(key.public(), key.key.verifying_key().to_bytes());
            let slow = SigningKey { fast: None, ..key.clone() };
            prop_assert_eq!(key.sign(&hash), slow.sign(&hash));
        }

        #[test]
        fn one_signature_is_judged_as_dalek_does_when_it_is_strict(
            seed: [u8; 32],
            message: [u8; 32],
            kind in 0..6_u8,
            at in 0..64_usize,
            bit in 0..8_u8,
            other: [u8; 64],
        ) {
            let (key, hash) = (SigningKey::from_seed(&seed), blake3::Hash::from(message));
            let mut signature = key.sign(&hash);
            match kind {
                0 => {}
                1 => signature[at] ^= 1 << bit,
                2 => signature = other,
                // The same s, counted once around the group.
                3 => add_order(&mut signature),
                // R with a part of small order, or nothing else.
                4 => signature = key.sign_with(&hash, Scalar::from(7_u8), EIGHT_TORSION[at % 8]),
                _ => signature = key.sign_with(&hash, Scalar::ZERO, EIGHT_TORSION[at % 8]),
            }
            let public = PublicKey::new(key.public()).expect("its own");
            let strict = public.0.verify_strict(
                hash.as_bytes(),
                &Signature::from_bytes(&signature),
            );
            prop_assert_eq!(public.signed(&hash, &signature), strict.is_ok());
            prop_assert!(kind != 0 || strict.is_ok());
        }
    }

    #[test]
    fn a_point_of_small_order_or_in_a_second_form_is_no_key() {
        for point in EIGHT_TORSION {
            assert_eq!(PublicKey::new(point.compress().to_bytes()), None);
        }
        for low in 0xed..=0xff_u8 {
            for high in [0x7f, 0xff] {
                let mut key = [0xff; 32];
                (key[0], key[31]) = (low, high);
                assert_eq!(PublicKey::new(key), None, "{low:x} {high:x}");
            }
        }
    }

    impl SigningKey {
        /// Signs with that secret number, and with something added to R.
        fn sign_with(
            &self,
            hash: &blake3::Hash,
            secret: Scalar,
            torsion: EdwardsPoint,
        ) -> [u8; 64] {
            let r = (EdwardsPoint::mul_base(&secret) + torsion).compress();
            let digest = Sha512::new()
                .chain_update(r.as_bytes())
                .chain_update(self.public())
                .chain_update(hash.as_bytes())
                .finalize();
            let challenge = Scalar::from_bytes_mod_order_wide(&digest.into());
            let s = secret + challenge * self.key.to_scalar();
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(r.as_bytes());
            signature[32..].copy_from_slice(s.as_bytes());
            signature
        }
    }

    /// Adds the order of the group to s.
    fn add_order(signature: &mut [u8; 64]) {
        let (s, order) = (&mut signature[32..], (-Scalar::ONE).to_bytes());
        // The written constant is one less.
        let mut carry = 1;
        for (digit, more) in s.iter_mut().zip(order) {
            let sum = u16::from(*digit) + u16::from(more) + carry;
            *digit = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
    }
}
