//! Fuzzes on the stable toolchain, for a bounded time: mutations of the seeds, without coverage. An
//! input that finds a fault is kept in a file.
//!
//! ```console
//! $ cargo run -p meshcast-fuzz -- --seconds 5          # each target
//! $ cargo run -p meshcast-fuzz -- engine --seconds 60 --seed 7
//! $ cargo run -p meshcast-fuzz -- engine --input crash-engine
//! ```

use std::{
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use meshcast_fuzz::{TARGETS, Target, mutate::mutate, target};
use rand::{SeedableRng, rngs::StdRng};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    /// Which targets; all if none is named.
    targets: Vec<String>,
    /// How long each is fuzzed.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Decides over all mutations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the seeds to this directory, one more for each target, for libFuzzer to set out from.
    #[arg(long, value_name = "DIRECTORY")]
    write_seeds: Option<PathBuf>,
    /// Runs these inputs only, once.
    #[arg(long)]
    input: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut targets = Vec::new();
    for name in &arguments.targets {
        match target(name) {
            Some(target) => targets.push(target),
            None => {
                let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
                eprintln!(
                    "there is no target {name:?}; there are {}",
                    known.join(", ")
                );
                return ExitCode::from(2);
            }
        }
    }
    if targets.is_empty() {
        targets.extend(TARGETS);
    }
    for target in targets {
        let result = if let Some(directory) = &arguments.write_seeds {
            write_seeds(target, directory)
        } else if arguments.input.is_empty() {
            fuzz(
                target,
                Duration::from_secs(arguments.seconds),
                arguments.seed,
            )
        } else {
            replay(target, &arguments.input)
        };
        if let Err(message) = result {
            eprintln!("{}: {message}", target.name);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn fuzz(target: &Target, lasts: Duration, seed: u64) -> Result<(), String> {
    let seeds = (target.seeds)();
    let mut rng = StdRng::seed_from_u64(seed);
    let started = Instant::now();
    let (mut runs, mut bytes) = (0u64, 0usize);
    let mut unchanged = seeds.iter();
    while started.elapsed() < lasts {
        let input = match unchanged.next() {
            Some(seed) => seed.clone(),
            None => mutate(&seeds, target.max_len, &mut rng),
        };
        bytes += input.len();
        runs += 1;
        run(target, &input).map_err(|panic| {
            let path = format!("crash-{}", target.name);
            match fs::write(&path, &input) {
                Ok(()) => format!(
                    "{panic} (run {runs}, {} bytes, kept in {path})",
                    input.len()
                ),
                Err(error) => format!("{panic} (run {runs}: {input:02x?}; not kept: {error})"),
            }
        })?;
    }
    println!(
        "{:<12}{runs:>10} runs of {:>5} bytes in {:.1} s",
        target.name,
        bytes as u64 / runs.max(1),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn write_seeds(target: &Target, directory: &Path) -> Result<(), String> {
    let directory = directory.join(target.name);
    let write = || -> io::Result<()> {
        fs::create_dir_all(&directory)?;
        for (n, seed) in (target.seeds)().iter().enumerate() {
            fs::write(directory.join(format!("seed-{n}")), seed)?;
        }
        Ok(())
    };
    write().map_err(|error| format!("{}: {error}", directory.display()))
}

fn replay(target: &Target, inputs: &[PathBuf]) -> Result<(), String> {
    for path in inputs {
        let input = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        run(target, &input)?;
        println!("{}: {} ends well", target.name, path.display());
    }
    Ok(())
}

fn run(target: &Target, input: &[u8]) -> Result<(), String> {
    panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it panicked")
            .to_owned()
    })
}
