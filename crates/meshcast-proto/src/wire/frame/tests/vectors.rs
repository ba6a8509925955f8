//! `testdata/wire/frames.json`: the bytes of this version of the protocol, for every language that
//! speaks it.

use serde::{Deserialize, Serialize};

use super::*;
use crate::MeshKey;

#[test]
fn the_fields_give_exactly_the_bytes_of_the_file() {
    for key in file().mesh_keys {
        assert_eq!(mesh_key(&key).to_secret_text(), key.text, "{}", key.name);
    }
    for chain in file().chains {
        let built = build_chain(&chain);
        assert_eq!(hex(built.chain().as_bytes()), chain.hex, "{}", chain.name);
    }
    for frame in file().frames {
        assert_eq!(
            hex(build_frame(&file(), &frame).bytes()),
            frame.hex,
            "{}",
            frame.name
        );
    }
}

#[test]
fn the_bytes_of_the_file_give_the_fields() {
    for key in file().mesh_keys {
        let parsed: MeshKey = key.text.parse().expect("a key");
        assert_eq!(hex(parsed.mesh().as_bytes()), key.mesh, "{}", key.name);
        assert_eq!(
            hex(&parsed.authority().public()),
            key.authority,
            "{}",
            key.name
        );
    }
    for chain in file().chains {
        let authority = Keypair::from_seed(seed(&chain.authority_seed)).public();
        let trust = Trust::new(mesh(&chain.mesh), vec![authority]);
        let member = trust.verify(&unhex(&chain.hex)).expect("believed");
        let Credential {
            subject,
            name,
            region,
            not_before,
            not_after,
            serial,
        } = member.credential();
        assert_eq!(hex(subject), chain.subject, "{}", chain.name);
        assert_eq!(hex(member.sender().key()), chain.sender, "{}", chain.name);
        assert_eq!(name.as_str(), chain.node, "{}", chain.name);
        assert_eq!(region.as_str(), chain.region, "{}", chain.name);
        assert_eq!(
            decimal(not_before.unix_millis()),
            chain.not_before,
            "{}",
            chain.name
        );
        assert_eq!(
            decimal(not_after.unix_millis()),
            chain.not_after,
            "{}",
            chain.name
        );
        assert_eq!(decimal(*serial), chain.serial, "{}", chain.name);
    }
    for said in file().frames {
        let frame = Frame::decode(unhex(&said.hex).into()).expect("a frame");
        let chain = file().chain(&said.chain);
        assert_eq!(hex(frame.sender().key()), chain.sender, "{}", said.name);
        assert_eq!(hex(frame.chain()), chain.hex, "{}", said.name);
        assert_eq!(frame.channel().as_str(), said.channel, "{}", said.name);
        assert_eq!(
            decimal(frame.seqs().first().get()),
            said.first_seq,
            "{}",
            said.name
        );
        assert_eq!(
            decimal(frame.posted_at().unix_millis()),
            said.posted_at,
            "{}",
            said.name
        );
        let since_first = decimal(frame.since_first().as_millis() as u64);
        assert_eq!(since_first, said.since_first, "{}", said.name);
        let records: Vec<_> = frame.records().map(|(_, record)| record).collect();
        assert_eq!(
            records,
            said.records
                .iter()
                .map(RecordVector::record)
                .collect::<Vec<_>>()
        );
        assert_eq!(hex(frame.hash().as_bytes()), said.hash, "{}", said.name);
        assert_eq!(
            hex(FrameId::of(frame.bytes()).as_bytes()),
            said.id,
            "{}",
            said.name
        );
        let trust = Trust::new(
            mesh(&chain.mesh),
            vec![Keypair::from_seed(seed(&chain.authority_seed)).public()],
        );
        let verified = Verifier::new(trust, Duration::ZERO).verify(&frame, NOW);
        assert!(verified.is_ok(), "{}: {verified:?}", said.name);
    }
    for refused in file().refused {
        let error = Frame::decode(unhex(&refused.hex).into()).expect_err(&refused.name);
        assert_eq!(kind(&error), refused.error, "{}", refused.name);
    }
}

#[test]
fn the_node_that_holds_the_mesh_key_makes_the_chain_of_the_file() {
    let (key, chain) = (&file().mesh_keys[0], file().chain("of a mesh key"));
    let made = Identity::from_mesh_key(
        &mesh_key(key),
        NodeName::new(&chain.node).expect("valid"),
        Region::new(&chain.region).expect("valid"),
        [2; 64],
        wall(&chain.issued_at),
    );
    assert_eq!(hex(made.chain().as_bytes()), chain.hex);
}

#[test]
fn the_file_is_what_this_build_would_write() {
    let text = serde_json::to_string_pretty(&vectors()).expect("plain data") + "\n";
    #[expect(
        clippy::disallowed_methods,
        reason = "a test that writes its file when asked to"
    )]
    if std::env::var_os("MESHCAST_WRITE_VECTORS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/wire/frames.json");
        std::fs::write(path, text).expect("writable");
    } else {
        assert!(
            text == FILE,
            "the wire has changed; see `about` in testdata/wire/frames.json"
        );
    }
}

const FILE: &str = include_str!("../../../../testdata/wire/frames.json");

const ABOUT: [&str; 6] = [
    "The bytes of version 2 of the meshcast wire. Byte strings are hex; 64-bit numbers are \
     decimal strings; times are milliseconds since the Unix epoch.",
    "mesh_keys: `text` is the key made of `entropy`; `mesh` and `authority` (a public key) are \
     what follows from it.",
    "chains: keys are given as Ed25519 seeds; `mesh` is signed but does not stand in the bytes; \
     `hex` is the encoded chain, `sender` the public boot key, `subject` the public member key.",
    "frames: `chain` names the sender's chain above; `hash` is what is signed, `id` names the \
     frame; a payload is `payload` repeated `times` times and not decoded here, a `value` may \
     hold any bytes.",
    "refused: bytes that are no frame, and why. Their signatures fit where the bytes are long \
     enough to have one.",
    "Written by `MESHCAST_WRITE_VECTORS=1 cargo test -p meshcast-proto vectors`. A change here \
     is another protocol: raise the version.",
];

#[derive(Debug, Serialize, Deserialize)]
struct Vectors {
    about: Vec<String>,
    mesh_keys: Vec<KeyVector>,
    chains: Vec<ChainVector>,
    frames: Vec<FrameVector>,
    refused: Vec<RefusedVector>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeyVector {
    name: String,
    entropy: String,
    text: String,
    mesh: String,
    authority: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ChainVector {
    name: String,
    mesh: String,
    authority_seed: String,
    member_seed: String,
    boot_seed: String,
    node: String,
    region: String,
    not_before: String,
    not_after: String,
    serial: String,
    issued_at: String,
    subject: String,
    sender: String,
    hex: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrameVector {
    name: String,
    chain: String,
    channel: String,
    first_seq: String,
    posted_at: String,
    since_first: String,
    records: Vec<RecordVector>,
    hash: String,
    id: String,
    hex: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct RecordVector {
    format: String,
    part: String,
    payload: String,
    /// How often the payload is repeated: a fragment that is not the last is long.
    times: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct RefusedVector {
    name: String,
    error: String,
    hex: String,
}

impl Vectors {
    fn chain(&self, name: &str) -> ChainVector {
        let found = self.chains.iter().find(|chain| chain.name == name);
        found.expect("a chain of that name").clone()
    }
}

impl RecordVector {
    fn new(format: &str, part: &str, payload: &[u8]) -> Self {
        Self {
            format: format.into(),
            part: part.into(),
            payload: hex(payload),
            times: 1,
        }
    }

    fn record(&self) -> Record {
        Record {
            format: match &*self.format {
                "value" => Format::Value,
                "raw" => Format::Raw,
                other => panic!("no format: {other}"),
            },
            part: match &*self.part {
                "whole" => Part::Whole,
                "first" => Part::First,
                "middle" => Part::Middle,
                "last" => Part::Last,
                other => panic!("no part: {other}"),
            },
            payload: unhex(&self.payload).repeat(self.times).into(),
        }
    }
}

fn file() -> Vectors {
    serde_json::from_str(FILE).expect("the file is read as it is written")
}

/// The vectors as this build makes them.
fn vectors() -> Vectors {
    let mut all = Vectors {
        about: ABOUT.map(String::from).to_vec(),
        mesh_keys: Vec::new(),
        chains: Vec::new(),
        frames: Vec::new(),
        refused: Vec::new(),
    };

    let counting: Vec<u8> = (0..48).collect();
    for (name, entropy) in [("counting", counting), ("all ones", vec![0xff; 48])] {
        let mut key = KeyVector {
            name: name.into(),
            entropy: hex(&entropy),
            text: String::new(),
            mesh: String::new(),
            authority: String::new(),
        };
        let made = mesh_key(&key);
        key.text = made.to_secret_text();
        key.mesh = hex(made.mesh().as_bytes());
        key.authority = hex(&made.authority().public());
        all.mesh_keys.push(key);
    }

    let of_mesh_key = blake3::derive_key(
        "meshcast v1 authority key",
        &unhex(&all.mesh_keys[0].entropy)[16..],
    );
    let mesh = unhex(&all.mesh_keys[0].mesh);
    let longest = "x".repeat(63);
    let max = u64::MAX;
    for (name, authority, [member, boot], node, region, times @ [_, _, _, _]) in [
        (
            "issued",
            [1; 32],
            [2, 3],
            "n",
            "r",
            [1_600_000_000_000, 1_900_000_000_000, 7, NOW.unix_millis()],
        ),
        (
            "of a mesh key",
            of_mesh_key,
            [2, 2],
            "fra-1",
            "eu-central-1",
            [0, max, 0, NOW.unix_millis()],
        ),
        (
            "longest",
            [4; 32],
            [5, 6],
            &*longest,
            &*longest,
            [max >> 1, max, max, max],
        ),
    ] {
        let [not_before, not_after, serial, issued_at] = times.map(decimal);
        let mut chain = ChainVector {
            name: name.into(),
            mesh: hex(if name == "of a mesh key" {
                &mesh
            } else {
                MESH.as_bytes()
            }),
            authority_seed: hex(&authority),
            member_seed: hex(&[member; 32]),
            boot_seed: hex(&[boot; 32]),
            node: node.into(),
            region: region.into(),
            not_before,
            not_after,
            serial,
            issued_at,
            subject: hex(&Keypair::from_seed([member; 32]).public()),
            sender: String::new(),
            hex: String::new(),
        };
        let built = build_chain(&chain);
        chain.sender = hex(built.sender().key());
        chain.hex = hex(built.chain().as_bytes());
        all.chains.push(chain);
    }

    let whole = |payload: &[u8]| vec![RecordVector::new("value", "whole", payload)];
    let raw = |payload: &[u8]| vec![RecordVector::new("raw", "whole", payload)];
    // One that goes on and is gone on with shows both flags; there is no short one.
    let middle = RecordVector {
        times: MAX_FRAGMENT_LEN / 4,
        ..RecordVector::new("value", "middle", b"frag")
    };
    let end = vec![
        RecordVector::new("value", "last", b"the end"),
        RecordVector::new("value", "whole", &[1, 2]),
    ];
    let (x255, sixteen) = ("x".repeat(255), (0..16).flat_map(|i| raw(&[i])).collect());
    let now = NOW.unix_millis();
    for (name, channel, first, posted_at, records) in [
        ("one record", "earth", 1, now, whole(&[0])),
        ("several records", "earth", 2, now, sixteen),
        ("fragment that goes on", "earth", 249, now, vec![middle]),
        ("last fragment", "earth", 250, now, end),
        ("raw bytes", "bytes", 1, now, raw(&[0, 0xff, 0x80, 0x7f])),
        ("empty payload", "earth", 251, now, raw(b"")),
        ("empty channel name", "", 1, now, raw(b"x")),
        ("channel name of one NUL", "\0", 1, now, raw(b"x")),
        (
            "channel name in other letters",
            "日本 ä \u{1f30d}",
            1,
            now,
            raw(b"x"),
        ),
        ("channel name of 250 bytes", &x255[..250], 1, now, raw(b"x")),
        ("channel name of 255 bytes", &x255, 1, now, raw(b"x")),
        ("number of two bytes", "earth", 65_535, 0, raw(b"x")),
        ("number of four bytes", "earth", 65_536, 250, raw(b"x")),
        (
            "number over the integers of a double",
            "earth",
            (1 << 53) + 1,
            1 << 32,
            raw(b"x"),
        ),
        ("last number", "earth", max - 1, max, raw(b"x")),
        ("payload of 300 bytes", "earth", 1, now, raw(&[0xaa; 300])),
    ] {
        all.push_frame(name, "issued", channel, [first, posted_at], records);
    }
    all.push_frame(
        "chain of a mesh key",
        "of a mesh key",
        "earth",
        [1, now],
        raw(b"x"),
    );

    for (name, bytes) in refused_frames() {
        let error = Frame::decode(bytes.clone().into()).expect_err(name);
        all.refused.push(RefusedVector {
            name: name.into(),
            error: kind(&error).into(),
            hex: hex(&bytes),
        });
    }
    all
}

impl Vectors {
    fn push_frame(
        &mut self,
        name: &str,
        chain: &str,
        channel: &str,
        [first_seq, posted_at]: [u64; 2],
        records: Vec<RecordVector>,
    ) {
        let mut vector = FrameVector {
            name: name.into(),
            chain: chain.into(),
            channel: channel.into(),
            first_seq: decimal(first_seq),
            posted_at: decimal(posted_at),
            // Something between nothing and all.
            since_first: decimal((first_seq - 1).saturating_mul(500)),
            records,
            hash: String::new(),
            id: String::new(),
            hex: String::new(),
        };
        let frame = build_frame(self, &vector);
        vector.hash = hex(frame.hash().as_bytes());
        vector.id = hex(FrameId::of(frame.bytes()).as_bytes());
        vector.hex = hex(frame.bytes());
        self.frames.push(vector);
    }
}

fn refused_frames() -> Vec<(&'static str, Vec<u8>)> {
    let good = || ByHand::like(&small_frame());
    let wide = |field: usize| {
        let mut frame = good();
        frame.widths[field] = Width::Four;
        frame.signed()
    };
    let mut claims = good();
    claims.claims[5] = Some(1 << 40);
    vec![
        ("no bytes", Vec::new()),
        ("64 bytes", vec![VERSION; 64]),
        (
            "version 0",
            ByHand {
                version: 0,
                ..good()
            }
            .signed(),
        ),
        (
            "version 1",
            ByHand {
                version: 1,
                ..good()
            }
            .signed(),
        ),
        (
            "a byte before the signature",
            ByHand {
                trailing: vec![0],
                ..good()
            }
            .signed(),
        ),
        ("records claim 2^40 bytes", claims.signed()),
        ("length of the channel in a long form", wide(0)),
        ("number in a long form", wide(1)),
        ("count in a long form", wide(2)),
        (
            "channel that is no UTF-8",
            ByHand {
                channel: vec![0xed, 0xa0, 0x80],
                ..good()
            }
            .signed(),
        ),
        (
            "channel of no bytes",
            ByHand {
                channel: Vec::new(),
                ..good()
            }
            .signed(),
        ),
        (
            "channel escaped without need",
            ByHand {
                channel: b"\0x".to_vec(),
                ..good()
            }
            .signed(),
        ),
        (
            "channel of 256 bytes",
            ByHand {
                channel: vec![b'x'; 256],
                ..good()
            }
            .signed(),
        ),
        (
            "number 0",
            ByHand {
                first_seq: 0,
                ..good()
            }
            .signed(),
        ),
        (
            "numbers beyond the last",
            ByHand {
                first_seq: u64::MAX,
                count: 2,
                records: vec![0; 8],
                ..good()
            }
            .signed(),
        ),
        (
            "number without a next one",
            ByHand {
                first_seq: u64::MAX,
                ..good()
            }
            .signed(),
        ),
        (
            "fragment between others that is short",
            ByHand {
                records: vec![8 + 6, 0, 0, 0, 0],
                ..good()
            }
            .signed(),
        ),
        (
            "record of 2^29 - 1 bytes",
            ByHand {
                records: vec![0xff; 4],
                ..good()
            }
            .signed(),
        ),
        (
            "no records",
            ByHand {
                count: 0,
                records: Vec::new(),
                ..good()
            }
            .signed(),
        ),
        (
            "more records than there are",
            ByHand { count: 2, ..good() }.signed(),
        ),
        (
            "record beyond the end",
            ByHand {
                records: vec![8, 0, 0, 0],
                ..good()
            }
            .signed(),
        ),
        (
            "half a record word",
            ByHand {
                records: vec![0, 0],
                ..good()
            }
            .signed(),
        ),
    ]
}

fn kind(error: &FrameError) -> &'static str {
    match error {
        FrameError::TooLong { .. } => "too long",
        FrameError::TooShort { .. } => "too short",
        FrameError::Version(_) => "version",
        FrameError::Unreadable(_) => "unreadable",
        FrameError::Channel(_) => "channel",
        FrameError::Record(_) => "record",
        FrameError::RecordsTooLong { .. } => "records too long",
        FrameError::Seq => "seq",
        FrameError::Count { .. } => "count",
    }
}

fn mesh_key(vector: &KeyVector) -> MeshKey {
    MeshKey::from_entropy(unhex(&vector.entropy).try_into().expect("48 bytes"))
}

fn build_chain(vector: &ChainVector) -> Identity {
    let [authority, member, boot] = [
        &vector.authority_seed,
        &vector.member_seed,
        &vector.boot_seed,
    ]
    .map(|text| Keypair::from_seed(seed(text)));
    let credential = Authority::new(mesh(&vector.mesh), authority).issue(&Credential {
        subject: member.public(),
        name: NodeName::new(&vector.node).expect("valid"),
        region: Region::new(&vector.region).expect("valid"),
        not_before: wall(&vector.not_before),
        not_after: wall(&vector.not_after),
        serial: vector.serial.parse().expect("a number"),
    });
    Identity::new(&credential, &member, boot, wall(&vector.issued_at)).expect("its own credential")
}

fn build_frame(vectors: &Vectors, vector: &FrameVector) -> Frame {
    let records: Vec<_> = vector.records.iter().map(RecordVector::record).collect();
    let first = Seq::new(vector.first_seq.parse().expect("a number")).expect("not 0");
    Frame::build(
        &build_chain(&vectors.chain(&vector.chain)),
        &channel(&vector.channel),
        first,
        wall(&vector.posted_at),
        Duration::from_millis(vector.since_first.parse().expect("a number")),
        &section(&records),
    )
    .expect("fits")
}

fn mesh(text: &str) -> MeshId {
    MeshId::new(unhex(text).try_into().expect("16 bytes"))
}

fn wall(text: &str) -> WallTime {
    WallTime::from_unix_millis(text.parse().expect("a number"))
}

fn decimal(n: u64) -> String {
    n.to_string()
}

fn seed(text: &str) -> [u8; 32] {
    unhex(text).try_into().expect("32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hex")
        })
        .collect()
}
