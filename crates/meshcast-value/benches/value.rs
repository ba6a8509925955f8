//! What encoding and decoding a small value costs: `cargo bench -p meshcast-value`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meshcast_value::{DecodeLimits, Value, from_bytes, to_bytes};
use serde::{Deserialize, Serialize};

criterion_group!(benches, value);
criterion_main!(benches);

/// The form that serde writes and reads, and the dynamic form of the same value.
fn value(criterion: &mut Criterion) {
    #[derive(Serialize, Deserialize)]
    struct Typed {
        id: u64,
        text: String,
        at: u64,
    }
    let typed = Typed {
        id: 1 << 40,
        text: "sixteen letters.".to_owned(),
        at: 1 << 50,
    };
    let mut bytes = Vec::new();
    to_bytes(&typed, &mut bytes).expect("it is plain");
    let dynamic = Value::decode(&bytes, &DecodeLimits::default()).expect("it was encoded");

    let mut group = criterion.benchmark_group("value");
    group.throughput(Throughput::Elements(1));
    let mut buffer = Vec::with_capacity(bytes.len());
    group.bench_function("encode typed", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            to_bytes(black_box(&typed), &mut buffer).expect("it is plain");
        });
    });
    group.bench_function("decode typed", |bencher| {
        bencher.iter(|| from_bytes::<Typed>(black_box(&bytes)).expect("it was encoded"));
    });
    group.bench_function("encode dynamic", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            black_box(&dynamic)
                .encode(&mut buffer)
                .expect("it was decoded");
        });
    });
    group.bench_function("decode dynamic", |bencher| {
        bencher.iter(|| {
            Value::decode(black_box(&bytes), &DecodeLimits::default()).expect("it was encoded")
        });
    });
    group.finish();
}
