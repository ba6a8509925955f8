//! Runs a scenario: `cargo run --release -p meshcast-sim --example run -- NAME|FILE [--seed N] [--seeds N]
//! [--log FILE] [--watch PROCESS] [--json]`.
//!
//! Ends with 1 if a run is not clean, and says how to see it again.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the library has no clock and no files; this has"
)]

use std::{error::Error, fs, io::BufWriter, process::ExitCode, time::Instant};

use meshcast_sim::{Scenario, Shipped, run_logged, run_seeds, run_watched, write_log};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut file, mut log, mut watch, mut json) = (None, None, None, false);
    let (mut first, mut count) = (1, 1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seed" => first = value()?.parse()?,
            "--seeds" => count = value()?.parse()?,
            "--log" => log = Some(value()?),
            "--watch" => watch = Some(value()?),
            "--json" => json = true,
            _ => file = Some(arg),
        }
    }
    let file = file.ok_or("which scenario?")?;
    let scenario = match Shipped::find(&file) {
        Some(shipped) => shipped.scenario()?,
        None => Scenario::from_toml(&fs::read_to_string(&file)?)?,
    };
    if let Some(process) = watch {
        let (report, lines) = run_watched(&scenario, first, &process);
        lines.iter().for_each(|line| println!("{line}"));
        print!("{report}");
        return Ok(ExitCode::SUCCESS);
    }
    if count > 1 && log.is_none() && !json {
        let began = Instant::now();
        let failed = run_seeds(&scenario, first..first + count);
        failed.iter().for_each(|report| print!("{report}"));
        eprintln!("{count} runs of {file} in {:?}", began.elapsed());
        return Ok(verdict(&file, count, failed.iter().map(|report| report.seed)));
    }
    let mut failed = Vec::new();
    for seed in first..first + count {
        let began = Instant::now();
        let (report, entries) = run_logged(&scenario, seed);
        let took = began.elapsed();
        if let Some(log) = &log {
            write_log(BufWriter::new(fs::File::create(log)?), &entries)?;
        }
        if json {
            println!("{}", serde_json::to_string(&report.summary())?);
        } else if count == 1 || !report.is_clean() {
            print!("{report}");
        }
        eprintln!(
            "seed {seed}: {} in {took:?}",
            if report.is_clean() { "clean" } else { "NOT CLEAN" }
        );
        if !report.is_clean() {
            failed.push(seed);
        }
    }
    Ok(verdict(&file, count, failed.into_iter()))
}

/// Says which runs failed and how to see them again.
fn verdict(file: &str, count: u64, failed: impl ExactSizeIterator<Item = u64>) -> ExitCode {
    if failed.len() == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "{} of {count} runs are not clean; to see one again:",
        failed.len()
    );
    for seed in failed.take(10) {
        eprintln!("  meshcast sim run {file} --seed {seed}");
    }
    ExitCode::FAILURE
}
