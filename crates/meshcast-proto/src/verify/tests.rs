use super::*;
use crate::{
    Authority, CLOCK_SKEW, ChannelName, Credential, Format, Identity, Keypair, MeshId, NodeName, Part,
    Region, Seq, write_record,
};

#[test]
fn a_frame_of_a_member_is_believed_and_names_the_member() {
    let member = verifier().verify(&frame(&alice(), 1), NOW).expect("believed");
    assert_eq!(member.sender(), alice().sender());
    assert_eq!(member.credential().name.as_str(), "alice");
}

#[test]
fn a_frame_of_somebody_this_mesh_does_not_believe_is_refused() {
    let stranger = Authority::new(MESH, Keypair::from_seed([9; 32]));
    let frame = frame(&issued(&stranger, "alice", 2, FOR_EVER), 1);
    assert_eq!(refusal(&frame), VerifyError::Chain(ChainError::UnknownAuthority));
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
        verifier.verify(&self::frame(&known, 1), NOW).expect("believed");
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
    assert_eq!(verifier.verify(&forged, NOW), Err(VerifyError::BadSignature));
    assert!(verifier.verify(&real, NOW).is_ok());
}

#[test]
fn a_signature_has_one_form() {
    // S and S + L fit the same equation; only the smaller one is a signature.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
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
        assert!(verifier.verify(&frame(identity, seq as u64 + 1), NOW).is_ok());
    }
    let after = Trust::new(MESH, vec![next.public()]);
    let mut verifier = Verifier::new(after, GRACE);
    assert!(verifier.verify(&frame(&new, 1), NOW).is_ok());
    assert_eq!(
        verifier.verify(&frame(&old, 2), NOW),
        Err(VerifyError::Chain(ChainError::UnknownAuthority))
    );
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
fn what_fails_is_not_remembered() {
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
    let mut recent = Recent::new(3);
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
    identity(authority, name, member, validity, Keypair::from_seed([12; 32]))
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
