use ed25519_dalek::VerifyingKey;
use proptest::prelude::*;

use super::*;

#[test]
fn a_chain_says_what_its_authority_said() {
    let identity = identity();
    let member = trust()
        .verify(identity.chain().as_bytes())
        .expect("believed");
    assert_eq!(member.sender(), identity.sender());
    assert_eq!(member.credential(), &credential());
}

#[test]
fn a_chain_of_another_authority_is_refused() {
    let stranger = Authority::new(MESH, Keypair::from_seed([4; 32]));
    let chain = Identity::link(&stranger.issue(&credential()), &member(), boot(), NOW).chain;
    assert_eq!(
        trust().verify(chain.as_bytes()),
        Err(ChainError::UnknownAuthority)
    );
    assert_eq!(
        Trust::new(MESH, Vec::new()).verify(identity().chain().as_bytes()),
        Err(ChainError::UnknownAuthority)
    );
}

#[test]
fn a_credential_of_one_mesh_is_refused_in_another_with_the_same_authority() {
    let keypair = Keypair::from_seed([1; 32]);
    let other_mesh = MeshId::new([10; 16]);
    let trust = |mesh| Trust::new(mesh, vec![keypair.public()]);
    for (of, elsewhere) in [(MESH, other_mesh), (other_mesh, MESH)] {
        let signed = Authority::new(of, keypair.clone()).issue(&credential());
        let identity = Identity::new(&signed, &member(), boot(), NOW).expect("its own credential");
        let chain = identity.chain().as_bytes();
        assert!(trust(of).verify(chain).is_ok());
        assert_eq!(
            trust(elsewhere).verify(chain),
            Err(ChainError::BadSignature)
        );
    }
}

#[test]
fn only_the_subject_of_a_credential_can_use_it() {
    let signed = authority().issue(&credential());
    let other = Identity::new(&signed, &boot(), boot(), NOW).map(|identity| identity.sender());
    assert_eq!(other, Err(IdentityError::NotTheSubject));
    assert!(Identity::new(&signed, &member(), boot(), NOW).is_ok());
}

#[test]
fn naming_a_believed_authority_does_not_make_one_believed() {
    // Everything as the real authority would write it, but signed by a stranger.
    let mut signed = authority().issue(&credential());
    signed.signature = Keypair::from_seed([4; 32]).sign(&credential_hash(MESH, &signed.body));
    let chain = Identity::link(&signed, &member(), boot(), NOW).chain;
    assert_eq!(
        trust().verify(chain.as_bytes()),
        Err(ChainError::BadSignature)
    );
}

#[test]
fn a_changed_credential_is_refused() {
    let signed = authority().issue(&credential());
    for change in [
        Credential {
            subject: boot().public(),
            ..credential()
        },
        Credential {
            name: NodeName::new("other").expect("valid"),
            ..credential()
        },
        Credential {
            region: Region::new("other").expect("valid"),
            ..credential()
        },
        Credential {
            not_before: WallTime::MIN,
            ..credential()
        },
        Credential {
            not_after: WallTime::MAX,
            ..credential()
        },
        Credential {
            serial: 8,
            ..credential()
        },
    ] {
        let forged = SignedCredential {
            subject: change.subject,
            body: authority().issue(&change).body,
            signature: signed.signature,
        };
        let chain = Identity::link(&forged, &member(), boot(), NOW).chain;
        assert_eq!(
            trust().verify(chain.as_bytes()),
            Err(ChainError::BadSignature),
            "{change:?}"
        );
    }
}

#[test]
fn a_boot_key_that_another_member_signed_is_refused() {
    let other = Keypair::from_seed([5; 32]);
    let chain = Identity::link(&authority().issue(&credential()), &other, boot(), NOW).chain;
    assert_eq!(
        trust().verify(chain.as_bytes()),
        Err(ChainError::BadSignature)
    );
}

#[test]
fn a_signature_of_one_kind_does_not_pass_for_another() {
    // The authority's own key as a member: its signature under the wrong domain does not help.
    let signed = authority().issue(&credential());
    let body = BootBody {
        boot: boot().public(),
        issued_at: 0,
    };
    let undomained = member().sign(&blake3::hash(&codec::encode(&body)));
    let as_credential = member().sign(&credential_hash(MESH, &codec::encode(&body)));
    for boot_signature in [undomained, as_credential, signed.signature, [0; 64]] {
        let chain = codec::encode(&ChainBody {
            credential: &signed.body,
            credential_signature: signed.signature,
            boot: BootBody { ..body },
            boot_signature,
        });
        assert_eq!(trust().verify(&chain), Err(ChainError::BadSignature));
    }
}

#[test]
fn weak_and_impossible_boot_keys_are_refused() {
    let signed = authority().issue(&credential());
    let with_boot = |boot: [u8; 32]| {
        let body = BootBody { boot, issued_at: 0 };
        trust().verify(&codec::encode(&ChainBody {
            credential: &signed.body,
            credential_signature: signed.signature,
            boot_signature: member().sign(&boot_hash(&body)),
            boot: body,
        }))
    };
    for weak in small_order_keys() {
        assert!(VerifyingKey::from_bytes(&weak).is_ok(), "{weak:02x?}");
        assert_eq!(with_boot(weak), Err(ChainError::BadKey), "{weak:02x?}");
    }
    let impossible: Vec<_> = (0..=255).map(|byte| [byte; 32]).collect();
    let impossible = impossible
        .into_iter()
        .filter(|key| VerifyingKey::from_bytes(key).is_err());
    assert!(impossible.clone().count() > 50);
    for key in impossible {
        assert_eq!(with_boot(key), Err(ChainError::BadKey), "{key:02x?}");
    }
    assert!(with_boot(boot().public()).is_ok());
}

#[test]
fn a_weak_member_or_authority_key_signs_nothing() {
    // With R and the key of order 1 and S = 0 the equation holds for every message, so a lenient
    // check would take this signature from anybody.
    let weak = small_order_keys()[0];
    let mut anything = [0; 64];
    anything[0] = 1;

    let of_weak_member = authority().issue(&Credential {
        subject: weak,
        ..credential()
    });
    let chain = codec::encode(&ChainBody {
        credential: &of_weak_member.body,
        credential_signature: of_weak_member.signature,
        boot: BootBody {
            boot: boot().public(),
            issued_at: 0,
        },
        boot_signature: anything,
    });
    assert_eq!(trust().verify(&chain), Err(ChainError::BadSignature));

    let by_weak_authority = codec::encode(&said_by(weak));
    let body = BootBody {
        boot: boot().public(),
        issued_at: 0,
    };
    let chain = codec::encode(&ChainBody {
        credential: &by_weak_authority,
        credential_signature: anything,
        boot_signature: member().sign(&boot_hash(&body)),
        boot: body,
    });
    let trusting = Trust::new(MESH, vec![weak]);
    assert_eq!(trusting.verify(&chain), Err(ChainError::BadSignature));
}

#[test]
fn during_a_rotation_both_authorities_are_believed() {
    let next = Authority::new(MESH, Keypair::from_seed([6; 32]));
    let of = |authority: &Authority| {
        Identity::link(&authority.issue(&credential()), &member(), boot(), NOW).chain
    };
    let (old_chain, new_chain) = (of(&authority()), of(&next));
    let both = Trust::new(MESH, vec![authority().public(), next.public()]);
    assert!(both.verify(old_chain.as_bytes()).is_ok());
    assert!(both.verify(new_chain.as_bytes()).is_ok());
    let after = Trust::new(MESH, vec![next.public()]);
    assert_eq!(
        after.verify(old_chain.as_bytes()),
        Err(ChainError::UnknownAuthority)
    );
    assert!(after.verify(new_chain.as_bytes()).is_ok());
}

#[test]
fn validity_ends_to_the_millisecond_with_the_skew_and_grace_that_are_granted() {
    let member = trust()
        .verify(identity().chain().as_bytes())
        .expect("believed");
    let Credential {
        not_before,
        not_after,
        ..
    } = credential();
    let (grace, tick) = (Duration::from_secs(600), Duration::from_millis(1));
    let early = Err(ChainError::NotYetValid { not_before });
    let late = Err(ChainError::Expired { not_after });
    for (now, grace, expected) in [
        (
            not_before - CLOCK_SKEW - tick,
            Duration::ZERO,
            early.clone(),
        ),
        (not_before - CLOCK_SKEW - tick, grace, early),
        (not_before - CLOCK_SKEW, Duration::ZERO, Ok(())),
        (not_after + CLOCK_SKEW, Duration::ZERO, Ok(())),
        (not_after + CLOCK_SKEW + tick, Duration::ZERO, late.clone()),
        (not_after + CLOCK_SKEW + grace, grace, Ok(())),
        (not_after + CLOCK_SKEW + grace + tick, grace, late),
    ] {
        assert_eq!(member.check_time(now, grace), expected, "{now} {grace:?}");
    }
}

#[test]
fn a_credential_for_ever_is_valid_at_both_ends_of_time() {
    let key = MeshKey::from_entropy([7; 48]);
    let (name, region) = (credential().name, credential().region);
    let identity = Identity::from_mesh_key(&key, name, region, [8; 64], NOW);
    let member = Trust::from(&key)
        .verify(identity.chain().as_bytes())
        .expect("believed");
    for now in [WallTime::MIN, NOW, WallTime::MAX] {
        assert_eq!(member.check_time(now, Duration::ZERO), Ok(()));
        assert_eq!(member.check_time(now, Duration::MAX), Ok(()));
    }
}

#[test]
fn holders_of_different_mesh_keys_do_not_believe_each_other() {
    let of = |entropy| MeshKey::from_entropy(entropy);
    let (name, region) = (credential().name, credential().region);
    let identity = Identity::from_mesh_key(&of([7; 48]), name, region, [8; 64], NOW);
    let other = Trust::from(&of([8; 48]));
    assert_eq!(
        other.verify(identity.chain().as_bytes()),
        Err(ChainError::UnknownAuthority)
    );
}

#[test]
fn labels_that_nobody_may_have_are_refused_even_if_the_authority_signed_them() {
    for name in ["", "a/b", "../x", "a\nb", "ä", &"x".repeat(64)] {
        for said in [
            CredentialBody {
                name,
                ..said_by(authority().public())
            },
            CredentialBody {
                region: name,
                ..said_by(authority().public())
            },
        ] {
            let error = trust().verify(&chain_of(&codec::encode(&said)));
            assert!(
                matches!(error, Err(ChainError::BadName(_))),
                "{name:?}: {error:?}"
            );
        }
    }
}

#[test]
fn grants_of_a_later_version_do_not_make_a_credential_unreadable() {
    let room = Chain::MAX_LEN - chain_of(&codec::encode(&said_by(authority().public()))).len();
    let with_grants = |len: usize| {
        let grants = vec![0xff; len];
        let said = CredentialBody {
            grants: &grants,
            ..said_by(authority().public())
        };
        chain_of(&codec::encode(&said))
    };
    // The lengths of the grants and the credential take two bytes more each than for none.
    let longest = with_grants(room - 4);
    assert_eq!(longest.len(), Chain::MAX_LEN);
    assert!(trust().verify(&longest).is_ok());
    assert_eq!(
        trust().verify(&with_grants(room - 3)),
        Err(ChainError::TooLong {
            len: Chain::MAX_LEN + 1,
            limit: Chain::MAX_LEN
        })
    );
}

#[test]
fn every_chain_that_can_be_issued_is_within_the_limit() {
    let longest = "x".repeat(63);
    let credential = authority().issue(&Credential {
        subject: member().public(),
        name: NodeName::new(&longest).expect("63 bytes"),
        region: Region::new(&longest).expect("63 bytes"),
        not_before: WallTime::MAX,
        not_after: WallTime::MAX,
        serial: u64::MAX,
    });
    let chain = Identity::link(&credential, &member(), boot(), WallTime::MAX).chain;
    assert!(chain.as_bytes().len() <= Chain::MAX_LEN / 2, "{chain:?}");
    assert!(trust().verify(chain.as_bytes()).is_ok());
}

/// The holder of a chain knows what the signatures in it are over, so a second encoding of one
/// would be another chain to every cache and comparison without being another credential.
#[test]
fn nobody_can_write_a_chain_in_another_way() {
    let good = identity().chain;
    let good = good.as_bytes();
    let credential_len = usize::from(good[0]);
    assert!(credential_len <= 250, "a length of one byte");
    // `issued_at` is 253 and eight bytes, in front of the last signature.
    let issued_at = good.len() - 64 - 9;
    assert_eq!(good[issued_at], 253);

    let wide_length = [&[251, good[0], 0][..], &good[1..]].concat();
    assert_eq!(trust().verify(&wide_length), not_canonical());

    // The same, where the number is a small one.
    let small = Identity::link(
        &authority().issue(&credential()),
        &member(),
        boot(),
        WallTime::MIN,
    )
    .chain;
    let small = small.as_bytes();
    let at = small.len() - 64 - 1;
    assert_eq!(small[at], 0);
    for wide in [
        &[251, 0, 0][..],
        &[252, 0, 0, 0, 0],
        &[253, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let other = [&small[..at], wide, &small[at + 1..]].concat();
        assert_eq!(trust().verify(&other), not_canonical());
    }

    // Not even the authority can: its credentials have one form as well.
    let said = codec::encode(&said_by(authority().public()));
    let serial = said.len() - 1;
    let wide_serial = [&said[..serial], &[251, said[serial], 0]].concat();
    assert_eq!(trust().verify(&chain_of(&wide_serial)), not_canonical());
    let trailing = [&said[..], &[0]].concat();
    assert_eq!(
        trust().verify(&chain_of(&trailing)),
        Err(ChainError::Unreadable(CodecError::Trailing(1)))
    );
}

#[test]
fn a_chain_changed_cut_or_extended_anywhere_is_refused() {
    let good = identity().chain;
    let good = good.as_bytes();
    for at in 0..good.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            let mut bytes = good.to_vec();
            bytes[at] ^= flip;
            assert!(trust().verify(&bytes).is_err(), "byte {at} ^ {flip:#04x}");
        }
        assert!(trust().verify(&good[..at]).is_err(), "first {at} bytes");
        for byte in [0, 1, 0xff] {
            let mut longer = good.to_vec();
            longer.insert(at, byte);
            assert!(
                longer == good || trust().verify(&longer).is_err(),
                "{byte} at {at}"
            );
        }
    }
    let longer = [good, &[0]].concat();
    assert_eq!(
        trust().verify(&longer),
        Err(ChainError::Unreadable(CodecError::Trailing(1)))
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_chain_and_no_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..1100),
    ) {
        prop_assert!(trust().verify(&bytes).is_err());
    }

    #[test]
    fn arbitrary_text_is_no_mesh_key_and_no_panic(
        text in any::<String>(),
        body in "[A-Za-z0-9_-]{0,80}",
    ) {
        prop_assert!(text.parse::<MeshKey>().is_err());
        for prefixed in [format!("meshcast1-{text}"), format!("meshcast1-{body}")] {
            prop_assert!(prefixed.parse::<MeshKey>().is_err());
        }
    }

    #[test]
    fn a_mesh_key_has_one_text(entropy in prop::array::uniform32(any::<u8>())) {
        let entropy = std::array::from_fn(|i| entropy[i % 32]);
        let text = MeshKey::from_entropy(entropy).to_secret_text();
        let parsed: MeshKey = text.parse().expect("just written");
        prop_assert_eq!(parsed.to_secret_text(), text);
    }

    #[test]
    fn a_channel_name_has_one_wire_form(wire in any::<String>(), nul in any::<bool>()) {
        let wire = if nul { format!("\0{wire}") } else { wire };
        if let Ok(name) = crate::ChannelName::from_wire(&wire) {
            prop_assert_eq!(name.wire(), &*wire);
            prop_assert_eq!(crate::ChannelName::new(name.as_str()), Ok(name.clone()));
        }
    }
}

fn not_canonical() -> Result<Member, ChainError> {
    Err(ChainError::Unreadable(CodecError::NotCanonical))
}

/// A chain around credential bytes that need not be any, signed by all who have to.
fn chain_of(credential: &[u8]) -> Vec<u8> {
    let signature = Keypair::from_seed([1; 32]).sign(&credential_hash(MESH, credential));
    let signed = SignedCredential {
        subject: member().public(),
        body: credential.to_vec(),
        signature,
    };
    Identity::link(&signed, &member(), boot(), NOW).chain.0
}

/// The content that an authority would sign.
fn said_by<'a>(authority: [u8; 32]) -> CredentialBody<'a> {
    CredentialBody {
        authority,
        subject: member().public(),
        name: "n",
        region: "r",
        grants: &[],
        not_before: 0,
        not_after: u64::MAX,
        serial: 7,
    }
}

/// Encodings of the eight points of small order, three of them in a second, longer than necessary
/// form.
fn small_order_keys() -> Vec<[u8; 32]> {
    let key = |low: u8, middle: u8, high: u8| {
        let mut key = [middle; 32];
        (key[0], key[31]) = (low, high);
        key
    };
    let eight = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0,
        ],
        [
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
            0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f,
        ],
        [
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
            0x03, 0x7a,
        ],
    ];
    let joined = |low: usize, high: usize| -> [u8; 32] {
        std::array::from_fn(|i| {
            if i < 16 {
                eight[low][i]
            } else {
                eight[high][i - 16]
            }
        })
    };
    let mut keys = vec![
        key(1, 0, 0),
        key(0xec, 0xff, 0x7f),
        key(0, 0, 0),
        key(0, 0, 0x80),
        joined(0, 1),
        joined(2, 3),
        key(0xee, 0xff, 0x7f),
        key(0xed, 0xff, 0x7f),
        key(0xed, 0xff, 0xff),
    ];
    for at in [4, 5] {
        let mut mirrored = keys[at];
        mirrored[31] |= 0x80;
        keys.push(mirrored);
    }
    keys
}

fn identity() -> Identity {
    Identity::new(&authority().issue(&credential()), &member(), boot(), NOW)
        .expect("its own credential")
}

fn credential() -> Credential {
    Credential {
        subject: member().public(),
        name: NodeName::new("n").expect("valid"),
        region: Region::new("r").expect("valid"),
        not_before: NOW - Duration::from_secs(3600),
        not_after: NOW + Duration::from_secs(3600),
        serial: 7,
    }
}

fn authority() -> Authority {
    Authority::new(MESH, Keypair::from_seed([1; 32]))
}

fn member() -> Keypair {
    Keypair::from_seed([2; 32])
}

fn boot() -> Keypair {
    Keypair::from_seed([3; 32])
}

fn trust() -> Trust {
    Trust::new(MESH, vec![authority().public()])
}

const MESH: MeshId = MeshId::new([9; 16]);
const NOW: WallTime = WallTime::from_unix_millis(1_700_000_000_000);
