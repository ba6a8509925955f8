//! What the pieces of the protocol cost by themselves, without a network.
//!
//! ```text
//! cargo bench -p meshcast-proto
//! cargo bench -p meshcast-proto -- frame        # those whose name contains it
//! ```
//!
//! Throughput is in records (`Kelem/s`), or in frames for window, history and an answer.

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use meshcast_proto::{
    Arrival, ChannelName, Config, Engine, Format, Frame, History, HistoryLimits, Identity, MeshKey,
    NodeName, Output, Part, Region, ReorderBuffer, Seq, Since, Time, Trust, Verifier, WallTime,
    write_record,
};

criterion_group!(benches, frame, verify_many, window, history, engine);
criterion_main!(benches);

/// A signed frame of one small record, and full ones of 64 bytes, 1 KiB and the longest record.
fn frame(criterion: &mut Criterion) {
    let mesh = Mesh::new();
    let mut group = criterion.benchmark_group("frame");
    for (len, count) in SHAPES {
        let shape = format!("{count} × {len} B");
        let records = records(len, count);
        let built = mesh.frame(1, &records);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(
            BenchmarkId::new("build", &shape),
            &records,
            |bencher, records| {
                bencher.iter(|| mesh.frame(1, records));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("decode", &shape),
            &built,
            |bencher, built| {
                bencher.iter(|| Frame::decode(built.bytes().clone()).expect("it was built"));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("verify", &shape),
            &built,
            |bencher, built| {
                // The sender is known, the frame is not.
                bencher.iter_batched_ref(
                    || mesh.verifier_that_knows_the_sender(),
                    |verifier| verifier.verify(built, WALL).expect("it is a member's"),
                    BatchSize::SmallInput,
                );
            },
        );
        group.bench_with_input(
            BenchmarkId::new("verify a copy", &shape),
            &built,
            |bencher, built| {
                let mut verifier = mesh.verifier_that_knows_the_sender();
                verifier.verify(built, WALL).expect("it is a member's");
                bencher.iter(|| verifier.verify(built, WALL).expect("it is a member's"));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("records", &shape),
            &built,
            |bencher, built| {
                bencher.iter(|| {
                    built
                        .records()
                        .map(|(_, record)| black_box(record).payload.len())
                        .sum::<usize>()
                });
            },
        );
    }
    group.finish();
}

/// The frames of an answer, one after the other and together.
fn verify_many(criterion: &mut Criterion) {
    let mesh = Mesh::new();
    let mut group = criterion.benchmark_group("verify");
    for count in [2, 4, 16, 64, 400] {
        let frames = mesh.frames(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(
            BenchmarkId::new("each", count),
            &frames,
            |bencher, frames| {
                bencher.iter_batched_ref(
                    || mesh.verifier_that_knows_the_sender(),
                    |verifier| {
                        for frame in frames {
                            verifier.verify(frame, WALL).expect("it is a member's");
                        }
                    },
                    BatchSize::SmallInput,
                );
            },
        );
        group.bench_with_input(
            BenchmarkId::new("together", count),
            &frames,
            |bencher, frames| {
                bencher.iter_batched_ref(
                    || mesh.verifier_that_knows_the_sender(),
                    |verifier| verifier.verify_all(frames, WALL),
                    BatchSize::SmallInput,
                );
            },
        );
    }
    group.finish();
}

fn window(criterion: &mut Criterion) {
    let mesh = Mesh::new();
    let frames = mesh.frames(FRAMES);
    let mut group = criterion.benchmark_group("window");
    group.throughput(Throughput::Elements(FRAMES as u64));
    // The highest of sixteen comes first, as when one frame was overtaken by those behind it.
    let mut late = frames.clone();
    late.chunks_mut(16).for_each(<[Frame]>::reverse);
    for (name, frames) in [("in order", frames), ("each 16 reversed", late)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || frames.clone(),
                |frames| {
                    let mut window = ReorderBuffer::resume(Seq::FIRST, Time::ZERO);
                    for frame in frames {
                        window.insert(frame, ROOM, Arrival::local(Time::ZERO));
                        while let Some(released) = window.release() {
                            black_box(released);
                        }
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn history(criterion: &mut Criterion) {
    let mesh = Mesh::new();
    let frames = mesh.frames(FRAMES);
    let size: usize = frames.iter().map(|frame| frame.bytes().len()).sum();
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for (name, bytes) in [("insert", 2 * size), ("insert into a full one", size / 16)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || frames.clone(),
                |frames| {
                    let mut history = History::new(HistoryLimits {
                        bytes,
                        age: Duration::from_secs(600),
                    });
                    for frame in frames {
                        history.insert(frame, Duration::ZERO, Arrival::local(Time::ZERO));
                    }
                    history
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// The whole way through the engine, signature included when posting.
fn engine(criterion: &mut Criterion) {
    let mesh = Mesh::new();
    let mut group = criterion.benchmark_group("engine");
    for (len, count) in SHAPES {
        let shape = format!("{count} × {len} B");
        let records = records(len, count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(
            BenchmarkId::new("post", &shape),
            &records,
            |bencher, records| {
                let mut engine = mesh.engine();
                bencher.iter(|| {
                    engine
                        .handle_post(&mesh.channel, records, Time::ZERO, WALL)
                        .expect("it is open");
                    while let Some(output) = engine.poll_output() {
                        black_box(output);
                    }
                });
            },
        );
        group.bench_with_input(
            BenchmarkId::new("frame", &shape),
            &records,
            |bencher, records| {
                let member = Arc::new(
                    mesh.trust
                        .verify(mesh.identity.chain().as_bytes())
                        .expect("a member"),
                );
                let (mut engine, mut first) = (mesh.engine(), 1);
                bencher.iter_batched(
                    || {
                        let frame = mesh.frame(first, records);
                        first += count as u64;
                        frame
                    },
                    |frame| {
                        engine.handle_frame(frame.sender(), frame, &member, Time::ZERO, WALL);
                        let mut values = 0;
                        while let Some(output) = engine.poll_output() {
                            if let Output::Deliver(_, delivery) = output {
                                values += delivery.values().map(black_box).count();
                            }
                        }
                        assert_eq!(values, count, "each frame follows the one before");
                    },
                    BatchSize::SmallInput,
                );
            },
        );
    }
    group.finish();
}

/// A mesh of one member.
struct Mesh {
    trust: Trust,
    identity: Identity,
    channel: ChannelName,
}

impl Mesh {
    fn new() -> Self {
        let key = MeshKey::from_entropy([7; 48]);
        Self {
            identity: identity(&key, 1),
            trust: Trust::from(&key),
            channel: ChannelName::new("bench").expect("a short name"),
        }
    }

    fn frame(&self, first: u64, records: &[u8]) -> Frame {
        let first = Seq::new(first).expect("not zero");
        Frame::build(
            &self.identity,
            &self.channel,
            first,
            WALL,
            Duration::ZERO,
            records,
        )
        .expect("it fits")
    }

    /// Frames of sixteen records of 64 bytes that follow each other.
    fn frames(&self, count: usize) -> Vec<Frame> {
        let records = records(64, 16);
        let first = |index| 1 + 16 * index as u64;
        (0..count)
            .map(|index| self.frame(first(index), &records))
            .collect()
    }

    fn verifier_that_knows_the_sender(&self) -> Verifier {
        let mut verifier = Verifier::new(self.trust.clone(), Duration::from_secs(600));
        // Another frame of the same sender.
        let other = self.frame(1 << 40, &records(1, 1));
        verifier.verify(&other, WALL).expect("it is a member's");
        verifier
    }

    /// The engine of another member, with the channel open.
    fn engine(&self) -> Engine {
        let identity = identity(&MeshKey::from_entropy([7; 48]), 2);
        let me = Arc::new(
            self.trust
                .verify(identity.chain().as_bytes())
                .expect("a member"),
        );
        let mut engine = Engine::new(Config::default(), identity, me, 7);
        engine
            .handle_open(&self.channel, Since::Now, Time::ZERO)
            .expect("there is room");
        while engine.poll_output().is_some() {}
        engine
    }
}

fn identity(key: &MeshKey, entropy: u8) -> Identity {
    let (name, region) = (NodeName::new("bench"), Region::new("fra"));
    let (name, region) = (name.expect("a name"), region.expect("a region"));
    Identity::from_mesh_key(key, name, region, [entropy; 64], WALL)
}

fn records(len: usize, count: usize) -> Vec<u8> {
    let payload = Bytes::from(vec![7; len]);
    let mut records = Vec::new();
    for _ in 0..count {
        write_record(&mut records, Format::Raw, Part::Whole, &payload);
    }
    records
}

/// Length and number of the records of a frame: one alone, and as many as fit one.
const SHAPES: [(usize, usize); 4] = [(64, 1), (64, 933), (1024, 61), (63_000, 1)];

/// Frames put into a window or a history at once.
const FRAMES: usize = 512;

/// More than they take.
const ROOM: usize = 4 * 1024 * 1024;

const WALL: WallTime = WallTime::from_unix_millis(1_767_225_600_000);
