use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use sha2::{Digest, Sha512};

use super::*;
use crate::{
    Authority, CLOCK_SKEW, ChannelName, Credential, Format, Identity, Keypair, MeshId, NodeName,
    Part, Region, Seq, write_record,
};

#[test]
fn a_frame_of_a_member_is_believed_and_names_the_member() {
    let member = verifier()
        .verify(&frame(&alice(), 1), NOW)
        .expect("believed");
    assert_eq!(member.sender(), alice().sender());
    assert_eq!(member.credential().name.as_str(), "alice");
}

#[test]
fn a_frame_of_somebody_this_mesh_does_not_believe_is_refused() {
    let stranger = Authority::new(MESH, Keypair::from_seed([9; 32]));
    let frame = frame(&issued(&stranger, "alice", 2, FOR_EVER), 1);
    assert_eq!(
        refusal(&frame),
        VerifyError::Chain(ChainError::UnknownAuthority)
    );
}

#[test]
fn a_frame_with_the_chain_of_another_sender_is_refused() {
    let frame = resigned(&frame(&alice(), 1), &alice(), |body| {
        swap(body, alice().chain().as_bytes(), bob().chain().as_bytes());
    });
    assert_eq!(frame.chain(), bob().chain().as_bytes());
    assert_eq!(refusal(&frame), VerifyError::NotTheSender);
    // Nor does it help that both are known already.
    let mut verifier = verifier();
    for known in [alice(), bob()] {
        verifier
            .verify(&self::frame(&known, 1), NOW)
            .expect("believed");
    }
    assert_eq!(verifier.verify(&frame, NOW), Err(VerifyError::NotTheSender));
    assert!(
        verifier.verify(&self::frame(&alice(), 2), NOW).is_ok(),
        "alice is still believed"
    );
}

#[test]
fn one_member_cannot_post_as_another() {
    // Alice's key and chain, but Bob signed.
    let frame = resigned(&frame(&alice(), 1), &bob(), |_| ());
    assert_eq!(frame.sender(), alice().sender());
    assert_eq!(refusal(&frame), VerifyError::BadSignature);
}

#[test]
fn a_copy_with_a_forged_signature_is_refused_after_the_real_one_was_verified() {
    let real = frame(&alice(), 1);
    let mut verifier = verifier();
    verifier.verify(&real, NOW).expect("believed");
    for at in real.bytes().len() - 64..real.bytes().len() {
        let mut bytes = real.bytes().to_vec();
        bytes[at] ^= 1;
        let forged = Frame::decode(bytes.into()).expect("well-formed");
        assert_eq!(forged.hash(), real.hash());
        assert_eq!(
            verifier.verify(&forged, NOW),
            Err(VerifyError::BadSignature),
            "{at}"
        );
    }
    assert!(
        verifier.verify(&real, NOW).is_ok(),
        "the real one is still believed"
    );
}

#[test]
fn a_forged_frame_that_came_first_does_not_keep_the_real_one_out() {
    let real = frame(&alice(), 1);
    let mut bytes = real.bytes().to_vec();
    *bytes.last_mut().expect("not empty") ^= 1;
    let forged = Frame::decode(bytes.into()).expect("well-formed");
    let mut verifier = verifier();
    assert_eq!(
        verifier.verify(&forged, NOW),
        Err(VerifyError::BadSignature)
    );
    assert!(verifier.verify(&real, NOW).is_ok());
}

#[test]
fn a_signature_has_one_form() {
    // S and S + L fit the same equation; only the smaller one is a signature.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let real = frame(&alice(), 1);
    let mut bytes = real.bytes().to_vec();
    let s = bytes.len() - 32;
    let mut carry = 0;
    for (byte, l) in bytes[s..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(l) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    let other = Frame::decode(bytes.into()).expect("well-formed");
    assert_eq!(refusal(&other), VerifyError::BadSignature);
}

#[test]
fn frames_are_believed_until_their_grace_is_over() {
    let brief = issued(&authority(), "brief", 2, [NOW, NOW + HOUR]);
    let mut verifier = Verifier::new(trust(), GRACE);
    let frame = frame(&brief, 1);
    let tick = Duration::from_millis(1);
    let (begin, end) = (NOW - CLOCK_SKEW, NOW + HOUR + GRACE + CLOCK_SKEW);
    // The same verifier throughout: what it remembers must not outlive the credential.
    assert!(matches!(
        verifier.verify(&frame, begin - tick),
        Err(VerifyError::Chain(ChainError::NotYetValid { .. }))
    ));
    for now in [begin, NOW, end] {
        assert!(verifier.verify(&frame, now).is_ok(), "{now}");
    }
    for sent in [&frame, &self::frame(&brief, 2)] {
        assert_eq!(
            verifier.verify(sent, end + tick),
            Err(VerifyError::Chain(ChainError::Expired {
                not_after: NOW + HOUR
            }))
        );
    }
}

#[test]
fn during_a_rotation_a_sender_may_show_either_chain() {
    let next = Authority::new(MESH, Keypair::from_seed([6; 32]));
    let (old, new) = (alice(), issued(&next, "alice", 2, FOR_EVER));
    assert_eq!(old.sender(), new.sender());
    let both = Trust::new(MESH, vec![authority().public(), next.public()]);
    let mut verifier = Verifier::new(both, GRACE);
    for (seq, identity) in [&old, &new, &old, &new].into_iter().enumerate() {
        assert!(
            verifier
                .verify(&frame(identity, seq as u64 + 1), NOW)
                .is_ok()
        );
    }
    let after = Trust::new(MESH, vec![next.public()]);
    let mut verifier = Verifier::new(after, GRACE);
    assert!(verifier.verify(&frame(&new, 1), NOW).is_ok());
    let unknown = VerifyError::Chain(ChainError::UnknownAuthority);
    assert!(!unknown.is_forgery(), "who hands it on may believe both");
    assert_eq!(verifier.verify(&frame(&old, 2), NOW), Err(unknown));
}

#[test]
fn the_chain_of_a_known_sender_is_not_checked_again() {
    let mut verifier = verifier();
    verifier.verify(&frame(&alice(), 1), NOW).expect("believed");
    // From here on nobody is believed, so checking a chain would fail.
    verifier.trust = Trust::new(MESH, Vec::new());
    assert!(verifier.verify(&frame(&alice(), 2), NOW).is_ok());
    assert!(verifier.verify(&frame(&bob(), 1), NOW).is_err());
}

#[test]
fn the_signature_of_a_known_frame_is_not_checked_again() {
    let mut verifier = verifier();
    let bob = verifier.verify(&frame(&bob(), 1), NOW).expect("believed");
    verifier.verify(&frame(&alice(), 1), NOW).expect("believed");
    // From here on Alice's signatures are compared with Bob's key, so checking one would fail.
    let known = verifier
        .members
        .map
        .get_mut(&alice().sender())
        .expect("remembered");
    known.member = bob;
    assert!(verifier.verify(&frame(&alice(), 1), NOW).is_ok());
    assert_eq!(
        verifier.verify(&frame(&alice(), 2), NOW),
        Err(VerifyError::BadSignature)
    );
}

#[test]
fn no_number_of_senders_or_frames_fills_the_memory() {
    let mut verifier = verifier();
    for i in 0..MAX_MEMBERS as u64 + 20 {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&i.to_le_bytes());
        let frame = frame(&booted("many", 2, Keypair::from_seed(seed)), 1);
        assert!(verifier.verify(&frame, NOW).is_ok());
    }
    assert_eq!(verifier.members.map.len(), MAX_MEMBERS);
    assert_eq!(verifier.members.order.len(), MAX_MEMBERS);

    for seq in 1..=MAX_FRAMES as u64 + 20 {
        let frame = frame(&alice(), seq);
        assert!(verifier.verify(&frame, NOW).is_ok());
    }
    assert_eq!(verifier.frames.map.len(), MAX_FRAMES);
    assert_eq!(verifier.frames.order.len(), MAX_FRAMES);
    assert!(
        verifier.verify(&frame(&alice(), 1), NOW).is_ok(),
        "forgotten is not refused"
    );
}

#[test]
fn a_frame_or_chain_that_fails_is_not_remembered() {
    let mut verifier = verifier();
    let stranger = issued(
        &Authority::new(MESH, Keypair::from_seed([9; 32])),
        "x",
        2,
        FOR_EVER,
    );
    for seq in 1..20 {
        assert!(verifier.verify(&frame(&stranger, seq), NOW).is_err());
        let forged = resigned(&frame(&alice(), seq), &bob(), |_| ());
        assert!(verifier.verify(&forged, NOW).is_err());
    }
    assert_eq!(verifier.members.map.len(), 1, "alice, whose chain was real");
    assert_eq!(verifier.frames.map.len(), 0);
}

#[test]
fn a_full_memory_forgets_its_oldest_entry_and_counts_a_key_once() {
    let mut recent = RecentCache::new(3);
    for (key, value) in [(1, 'a'), (2, 'b'), (1, 'c'), (3, 'd'), (1, 'e')] {
        recent.insert(key, value);
    }
    assert_eq!(
        [1, 2, 3].map(|key| recent.get(&key).copied()),
        [Some('e'), Some('b'), Some('d')]
    );
    recent.insert(4, 'f');
    assert_eq!(
        [1, 2, 3, 4].map(|key| recent.get(&key).copied()),
        [None, Some('b'), Some('d'), Some('f')]
    );
    assert_eq!((recent.map.len(), recent.order.len()), (3, 3));
}

proptest! {
    #[test]
    fn many_are_judged_as_each_alone(
        kinds in proptest::collection::vec(prop_oneof![20 => Just(0), 3 => 1..KINDS], 0..100),
        known in proptest::collection::vec(any::<bool>(), 100),
    ) {
        let frames: Vec<_> = kinds.iter().enumerate().map(
            |(at, kind)| of_kind(*kind, at as u64 + 1)
        ).collect();
        let mut together = verifier();
        for (frame, _) in frames.iter().zip(known).filter(|(_, known)| *known) {
            let _ = together.verify(frame, NOW);
        }
        let verdicts = together.verify_all(&frames, NOW);
        let mut alone = verifier();
        let expected: Vec<_> = frames.iter().map(|frame| alone.verify(frame, NOW)).collect();
        prop_assert_eq!(&verdicts, &expected);
        prop_assert_eq!(together.verify_all(&frames, NOW), expected);
    }
}

/// Number of kinds of frames that [`of_kind`] makes.
const KINDS: usize = 9;

/// A frame of Alice's, or one that is wrong in some way.
fn of_kind(kind: usize, seq: u64) -> Frame {
    let real = frame(&alice(), seq);
    let changed = |at: usize| {
        let mut bytes = real.bytes().to_vec();
        let at = bytes.len() - 1 - at;
        bytes[at] ^= 1;
        Frame::decode(bytes.into()).expect("well-formed")
    };
    match kind {
        0 => real,
        1 => frame(&bob(), seq),
        2 => resigned(&real, &bob(), |_| ()),
        3 => changed(seq as usize % 64),
        4 => frame(
            &issued(
                &Authority::new(MESH, Keypair::from_seed([9; 32])),
                "x",
                2,
                FOR_EVER,
            ),
            seq,
        ),
        5 => frame(
            &issued(&authority(), "brief", 2, [NOW + HOUR, NOW + HOUR * 2]),
            seq,
        ),
        6 => resigned(&real, &alice(), |body| {
            swap(body, alice().chain().as_bytes(), bob().chain().as_bytes());
        }),
        // R is of small order, and fits.
        7 => signed_at(&real, Scalar::ZERO, EIGHT_TORSION[seq as usize % 8]),
        // Alice's signature under another frame of hers.
        _ => with_signature(&real, &frame(&alice(), seq + 1000).signature()),
    }
}

#[test]
fn no_point_of_small_order_and_no_second_form_of_a_point_passes_in_a_batch() {
    let batch = |odd: Frame| [frame(&alice(), 1), odd, frame(&alice(), 3)];
    for torsion in EIGHT_TORSION {
        let odd = signed_at(&frame(&alice(), 2), Scalar::ZERO, torsion);
        assert_eq!(judged(&batch(odd)), [true, false, true]);
    }
    for y in (0xed..=0xff).flat_map(|low| [0x7f, 0xff].map(|high| (low, high))) {
        let mut signature = [0xff; 64];
        (signature[0], signature[31]) = y;
        signature[32..].fill(0);
        let odd = with_signature(&frame(&alice(), 2), &signature);
        assert_eq!(judged(&batch(odd)), [true, false, true], "{y:x?}");
    }
}

#[test]
fn a_signature_that_only_a_batch_accepts_is_not_vouched_for() {
    let real = frame(&alice(), 1);
    // Half of all batches take a part of order 2 for nothing.
    let (odd, mut verifier) = (1..100u64)
        .find_map(|try_it| {
            let odd = signed_at(&real, Scalar::from(try_it), EIGHT_TORSION[4]);
            let mut verifier = verifier();
            let verdicts = verifier.verify_all(&[odd.clone(), frame(&alice(), 2)], NOW);
            verdicts
                .iter()
                .all(Result::is_ok)
                .then_some((odd, verifier))
        })
        .expect("one in two");
    assert_eq!(verifier.verify(&odd, NOW), Err(VerifyError::BadSignature));
    assert!(verifier.verify(&real, NOW).is_ok());
}

fn judged(frames: &[Frame]) -> Vec<bool> {
    let verdicts = verifier().verify_all(frames, NOW);
    verdicts.iter().map(Result::is_ok).collect()
}

/// A frame of Alice's that she signed with this secret number, and a part of small order in R.
fn signed_at(frame: &Frame, secret: Scalar, torsion: EdwardsPoint) -> Frame {
    let key = SigningKey::from_bytes(&alice().boot().secret_seed());
    let r = (EdwardsPoint::mul_base(&secret) + torsion).compress();
    let mut hash = Sha512::new();
    hash.update(r.as_bytes());
    hash.update(key.verifying_key().as_bytes());
    hash.update(frame.hash().as_bytes());
    let h = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(r.as_bytes());
    signature[32..].copy_from_slice((secret + h * key.to_scalar()).as_bytes());
    with_signature(frame, &signature)
}

fn with_signature(frame: &Frame, signature: &[u8; 64]) -> Frame {
    let mut bytes = frame.bytes().to_vec();
    let from = bytes.len() - 64;
    bytes[from..].copy_from_slice(signature);
    Frame::decode(bytes.into()).expect("well-formed")
}

/// A frame whose signed bytes were changed, signed again by somebody.
fn resigned(frame: &Frame, by: &Identity, change: impl FnOnce(&mut Vec<u8>)) -> Frame {
    let mut bytes = frame.bytes()[..frame.bytes().len() - 64].to_vec();
    change(&mut bytes);
    let hash = blake3::Hasher::new_derive_key("meshcast v1 frame")
        .update(&bytes)
        .finalize();
    bytes.extend(by.boot().sign(&hash));
    Frame::decode(bytes.into()).expect("well-formed")
}

/// Puts one part in the place of another of the same length.
fn swap(bytes: &mut [u8], part: &[u8], other: &[u8]) {
    assert_eq!(part.len(), other.len());
    let at = bytes
        .windows(part.len())
        .position(|window| window == part)
        .expect("found");
    bytes[at..at + part.len()].copy_from_slice(other);
}

fn refusal(frame: &Frame) -> VerifyError {
    verifier().verify(frame, NOW).expect_err("refused")
}

fn frame(identity: &Identity, seq: u64) -> Frame {
    let mut records = Vec::new();
    write_record(&mut records, Format::Raw, Part::Whole, b"hi");
    let channel = ChannelName::new("earth").expect("valid");
    let seq = Seq::new(seq).expect("not 0");
    Frame::build(identity, &channel, seq, NOW, Duration::ZERO, &records).expect("fits")
}

fn alice() -> Identity {
    booted("alice", 2, Keypair::from_seed([12; 32]))
}

fn bob() -> Identity {
    booted("bobby", 3, Keypair::from_seed([13; 32]))
}

fn booted(name: &str, member: u8, boot: Keypair) -> Identity {
    identity(&authority(), name, member, FOR_EVER, boot)
}

fn issued(authority: &Authority, name: &str, member: u8, validity: [WallTime; 2]) -> Identity {
    identity(
        authority,
        name,
        member,
        validity,
        Keypair::from_seed([12; 32]),
    )
}

fn identity(
    authority: &Authority,
    name: &str,
    member: u8,
    [not_before, not_after]: [WallTime; 2],
    boot: Keypair,
) -> Identity {
    let member = Keypair::from_seed([member; 32]);
    let credential = authority.issue(&Credential {
        subject: member.public(),
        name: NodeName::new(name).expect("valid"),
        region: Region::new("r").expect("valid"),
        not_before,
        not_after,
        serial: 1,
    });
    Identity::new(&credential, &member, boot, NOW).expect("its own credential")
}

fn authority() -> Authority {
    Authority::new(MESH, Keypair::from_seed([1; 32]))
}

fn trust() -> Trust {
    Trust::new(MESH, vec![authority().public()])
}

fn verifier() -> Verifier {
    Verifier::new(trust(), GRACE)
}

const MESH: MeshId = MeshId::new([9; 16]);
const NOW: WallTime = WallTime::from_unix_millis(1_700_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(720);
const FOR_EVER: [WallTime; 2] = [WallTime::MIN, WallTime::MAX];
