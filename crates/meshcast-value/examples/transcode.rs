//! The other half of the tests of implementations in other languages.
//!
//! `transcode` reads values from stdin, each behind its length as four little-endian bytes, and
//! answers each in the same way: a 0 and its bytes as this crate writes them, or a 1 and why they
//! are refused. `transcode generate <count> <seed>` writes random values.

// A program, unlike the crate, does I/O.
#![allow(clippy::disallowed_methods)]

use std::io::{self, BufRead, BufWriter, Write};

use meshcast_value::*;
use proptest::prelude::*;
use proptest::{
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

#[path = "../src/tests/any.rs"]
mod any;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut output = BufWriter::new(io::stdout().lock());
    match arguments.as_slice() {
        [] => transcode(&mut io::stdin().lock(), &mut output)?,
        [command, count, seed] if command == "generate" => {
            generate(count.parse()?, seed.parse()?, &mut output)?
        }
        _ => return Err("usage: transcode [generate <count> <seed>]".into()),
    }
    output.flush()?;
    Ok(())
}

fn transcode(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    while !input.fill_buf()?.is_empty() {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut bytes)?;
        let mut answer = vec![0];
        let refused = match Value::decode(&bytes, &DecodeLimits::default()) {
            Ok(value) => value
                .encode(&mut answer)
                .err()
                .map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = refused {
            answer = [&[1], reason.as_bytes()].concat();
        }
        write(&answer, output)?;
    }
    Ok(())
}

fn generate(
    count: usize,
    seed: u64,
    output: &mut impl Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut entropy = [0; 32];
    entropy[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &entropy);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let values = any::any_value();
    for _ in 0..count {
        let mut bytes = Vec::new();
        values
            .new_tree(&mut runner)
            .map_err(|reason| reason.to_string())?
            .current()
            .encode(&mut bytes)?;
        write(&bytes, output)?;
    }
    Ok(())
}

fn write(bytes: &[u8], output: &mut impl Write) -> io::Result<()> {
    output.write_all(&(bytes.len() as u32).to_le_bytes())?;
    output.write_all(bytes)
}
