//! `meshcast sim`

use std::{
    fs::File,
    io::{BufWriter, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{Args as ClapArgs, Subcommand};
use meshcast_sim::{
    Analysis, Ran, Report, SHIPPED, Scenario, Shipped, Summary, each_seed, run_logged, run_watched,
    write_log,
};
use serde::Serialize;

use crate::{
    args::{TEMPLATE, numbers::at_least_one},
    exit::{Exit, Failure},
    output::Output,
    program,
    render::{Palette, Table, text},
    report,
};

/// Run meshes in virtual time and judge what they did
///
/// Minutes of a fleet with faults go by in seconds, and the same scenario and seed give the same
/// run again.
#[derive(Debug, Subcommand)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast sim list
  meshcast sim run all-faults --seeds 20
  meshcast sim run mine.toml --seed 17 --log log.jsonl")]
pub(crate) enum Sim {
    List(SimList),
    Run(SimRun),
}

/// List the scenarios that come with the command
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast sim list
  meshcast sim list --json | jq -r '.scenarios[].name'")]
pub(crate) struct SimList {}

/// Run a scenario
///
/// Status 1 if a run breaks a guarantee or does not come out as the scenario expects; what repeats
/// such a run is then printed.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast sim run partition-60
  meshcast sim run partition-60 --report report.html
  meshcast sim run mine.toml --seeds 200 --json | jq .p99_ms
  meshcast sim run all-faults --seed 17 --watch fra0.1")]
pub(crate) struct SimRun {
    /// A scenario of `meshcast sim list`, or a file with one
    pub(crate) scenario: String,
    /// The seed, or the first of several
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of seeds, one after the other; two runs go at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<u64>)]
    pub(crate) seeds: u64,
    /// File for what was posted, delivered and missed, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Where to write what the run was like: a page to look at (.html), or JSON (.json)
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    pub(crate) report: Option<PathBuf>,
    /// Print all that the engine of one process is told and says; fra0.1 is the first process of
    /// the node fra0
    #[arg(long, value_name = "PROCESS", conflicts_with = "log")]
    pub(crate) watch: Option<String>,
}

/// The rest of a run when it is over: little, since it may have to wait until it is printed.
struct Done {
    seed: u64,
    is_clean: bool,
    /// The report, for people and for machines.
    text: String,
    summary: Summary,
}

impl From<&Report> for Done {
    fn from(report: &Report) -> Self {
        Self {
            seed: report.seed,
            is_clean: report.is_clean(),
            text: report.to_string(),
            summary: report.summary(),
        }
    }
}

pub(crate) fn run(command: Sim, output: &Output) -> Result<Exit, Failure> {
    match command {
        Sim::List(SimList {}) => list(output),
        Sim::Run(args) => {
            refuse_several(&args)?;
            let scenario = find(&args.scenario)?;
            match &args.watch {
                Some(process) => watch(&scenario, args.seed, process, output),
                None if args.seeds == 1 => once(&scenario, &args, output),
                None => several(&scenario, &args, output),
            }
        }
    }
}

/// Some output of one run is impossible for several.
fn refuse_several(args: &SimRun) -> Result<(), Failure> {
    let of_one = [
        ("--log", args.log.is_some()),
        ("--report", args.report.is_some()),
        ("--watch", args.watch.is_some()),
    ];
    match of_one.iter().find(|(_, given)| *given && args.seeds > 1) {
        Some((option, _)) => {
            let (seeds, option) = (args.seeds, *option);
            let message = format!("{option} is for one run, and --seeds {seeds} are several");
            Err(Failure::usage(message)
                .hint(format!("choose the run with --seed, or drop {option}")))
        }
        None => Ok(()),
    }
}

fn list(output: &Output) -> Result<Exit, Failure> {
    let read = |shipped: &Shipped| {
        let scenario = shipped.scenario().map_err(Failure::failed)?;
        Ok(Listed {
            name: shipped.name,
            nodes: scenario.nodes,
            duration_us: scenario.duration.as_micros(),
            about: scenario.about,
        })
    };
    let list = List {
        schema: "scenarios/v1",
        scenarios: SHIPPED.iter().map(read).collect::<Result<_, Failure>>()?,
    };
    output.result(&list, || table(&list, output.palette()))?;
    Ok(Exit::Ok)
}

/// One that comes with the command, or one from a file.
pub(crate) fn find(name: &str) -> Result<Scenario, Failure> {
    let (text, what) = match Shipped::find(name) {
        Some(shipped) => (shipped.text.to_owned(), format!("the scenario {name}")),
        None if Path::new(name).exists() => (read(name)?, name.to_owned()),
        None => {
            let all: Vec<_> = SHIPPED.iter().map(|shipped| shipped.name).collect();
            let failure = Failure::usage(format!("there is no scenario and no file {name:?}"));
            return Err(failure.hint(format!("those that come with it are {}", all.join(", "))));
        }
    };
    Scenario::from_toml(&text).map_err(|error| Failure::usage(format!("{what}: {error}")))
}

/// As much as a scenario can be.
fn read(name: &str) -> Result<String, Failure> {
    let fail = |error| Failure::io(format!("read {name}"))(error);
    let mut text = String::new();
    let file = File::open(name).map_err(fail)?;
    file.take(SCENARIO + 1)
        .read_to_string(&mut text)
        .map_err(fail)?;
    if text.len() as u64 > SCENARIO {
        let message = format!("{name} holds more than the {SCENARIO} bytes a scenario may have");
        return Err(Failure::usage(message));
    }
    Ok(text)
}

fn once(scenario: &Scenario, args: &SimRun, output: &Output) -> Result<Exit, Failure> {
    // First, so that nobody waits for a run that cannot be written down.
    let log = args.log.as_deref().map(open_log).transpose()?;
    let page = args
        .report
        .as_deref()
        .map(report::Report::create)
        .transpose()?;
    let (report, entries) = run_logged(scenario, args.seed);
    if let (Some(file), Some(path)) = (log, &args.log) {
        write_log(file, &entries).map_err(Failure::io(format!("write {}", path.display())))?;
    }
    tell(Done::from(&report), output)?;
    if let Some(page) = page {
        let complaints: Vec<_> = report.complaints().collect();
        let written = page.write(&Analysis::of(Ran {
            scenario,
            seed: args.seed,
            is_real: false,
            faults: &scenario.marks(args.seed),
            log: &entries,
            cost: report.traffic.into(),
            complaints: &complaints,
        }))?;
        output.note(&format!("report: {}", written.display()));
    }
    Ok(exit(report.is_clean()))
}

fn open_log(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = File::create(path).map_err(Failure::io(format!("write {}", path.display())))?;
    Ok(BufWriter::new(file))
}

fn watch(scenario: &Scenario, seed: u64, process: &str, output: &Output) -> Result<Exit, Failure> {
    let (report, lines) = run_watched(scenario, seed, process);
    if lines.is_empty() {
        let failure = Failure::usage(format!("no process {process:?} said anything in this run"));
        let example = scenario.node_name(0);
        return Err(failure.hint(format!(
            "{example}.1 is the first process of the node {example}, {example}.2 what runs after a restart"
        )));
    }
    for line in &lines {
        if output.json() {
            let line = serde_json::json!({ "process": process, "line": line });
            output.line(&line.to_string())?;
        } else {
            output.line(&text(line))?;
        }
    }
    tell(Done::from(&report), output)?;
    Ok(exit(report.is_clean()))
}

fn several(scenario: &Scenario, args: &SimRun, output: &Output) -> Result<Exit, Failure> {
    let mut failed = Vec::new();
    let timed = |seed| {
        let began = Instant::now();
        let report = meshcast_sim::run(scenario, seed);
        (Done::from(&report), began.elapsed())
    };
    let told = |(done, took): (Done, Duration)| {
        let (seed, is_clean) = (done.seed, done.is_clean);
        let verdict = if is_clean { "clean" } else { "not clean" };
        if output.json() || !is_clean {
            tell(done, output)?;
        }
        if !output.json() {
            output.note(&format!("seed {seed}: {verdict}, {}", seconds(took)));
        }
        if !is_clean {
            failed.push(seed);
        }
        Ok::<_, Failure>(())
    };
    let seeds = (0..args.seeds).map(|nth| args.seed.wrapping_add(nth));
    each_seed(seeds, timed, told)?;
    if !output.json() {
        let clean = args.seeds - failed.len() as u64;
        output.line(&format!(
            "{}: {clean} of {} runs are clean",
            scenario.name, args.seeds
        ))?;
    }
    if let Some(seed) = failed.first() {
        output.note(&format!(
            "to see one again: {} sim run {} --seed {seed}",
            program::name(),
            args.scenario
        ));
    }
    Ok(exit(failed.is_empty()))
}

fn tell(done: Done, output: &Output) -> Result<(), Failure> {
    if !output.json() {
        return output.raw(&done.text);
    }
    let line = Run {
        schema: "sim_run/v1",
        summary: done.summary,
    };
    output.line(&serde_json::to_string(&line).map_err(Failure::failed)?)
}

const fn exit(clean: bool) -> Exit {
    if clean { Exit::Ok } else { Exit::Failed }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[derive(Serialize)]
struct Run {
    schema: &'static str,
    #[serde(flatten)]
    summary: meshcast_sim::Summary,
}

#[derive(Serialize)]
struct List {
    schema: &'static str,
    scenarios: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    about: String,
    nodes: usize,
    duration_us: u128,
}

fn table(list: &List, palette: Palette) -> String {
    let mut table = Table::new(&["NAME", ">NODES", ">TIME", "ABOUT"]);
    for scenario in &list.scenarios {
        let seconds = scenario.duration_us / 1_000_000;
        table.row([
            scenario.name.to_owned(),
            scenario.nodes.to_string(),
            format!("{seconds} s"),
            scenario.about.clone(),
        ]);
    }
    table.render(palette)
}

/// A scenario with each fault at each second of a day is smaller.
const SCENARIO: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_shipped_nor_a_file_is_answered_with_what_is_shipped() {
        let failure = find("nonsense").expect_err("neither");
        assert_eq!(failure.exit, Exit::Usage);
        let hint = failure.hint.expect("one");
        assert!(
            SHIPPED.iter().all(|shipped| hint.contains(shipped.name)),
            "{hint}"
        );
    }

    #[test]
    fn a_report_is_of_one_run_also_where_one_seed_is_said_to_be_one() {
        let directory = tempfile::tempdir().expect("writable");
        let report = directory.path().join("run.json");
        let run = |options: &[&str]| {
            let mine = directory.path().join("mine.toml");
            std::fs::write(&mine, "name = 'mine'\nnodes = 2\nduration = 1").expect("writable");
            let words = ["meshcast", "sim", "run", mine.to_str().expect("plain")];
            let words = words.iter().chain(options);
            let parsed = <crate::args::Args as clap::Parser>::try_parse_from(words).expect("fine");
            let crate::args::Command::Sim(sim) = parsed.command else {
                panic!("another command")
            };
            super::run(sim, &Output::new(false, crate::render::Colour::Never))
        };
        let path = report.to_str().expect("plain");
        let refused = run(&["--seeds", "2", "--report", path]).expect_err("two runs");
        assert_eq!(refused.exit, Exit::Usage);
        assert!(!report.exists());
        assert!(run(&["--seeds", "1", "--report", path]).is_ok());
        assert!(report.exists());
    }

    #[test]
    fn a_file_that_is_no_scenario_is_wrong_usage_and_named() {
        let directory = tempfile::tempdir().expect("writable");
        let path = directory.path().join("mine.toml");
        std::fs::write(&path, "nodes = 3").expect("writable");
        let path = path.to_str().expect("plain");
        let failure = find(path).expect_err("no scenario");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with(path), "{}", failure.message);
    }

    #[test]
    fn a_file_is_read_where_no_shipped_one_is_meant() {
        let directory = tempfile::tempdir().expect("writable");
        let path = directory.path().join("mine.toml");
        std::fs::write(&path, "name = 'mine'\nnodes = 3\nduration = 1").expect("writable");
        let scenario = find(path.to_str().expect("plain")).expect("one");
        assert_eq!((scenario.name.as_str(), scenario.nodes), ("mine", 3));
    }

    #[test]
    fn the_table_has_a_line_for_each() {
        let list = List {
            schema: "scenarios/v1",
            scenarios: vec![Listed {
                name: "steady",
                about: "Nothing goes wrong.".into(),
                nodes: 10,
                duration_us: 60_000_000,
            }],
        };
        assert_eq!(
            table(&list, Palette::PLAIN),
            "NAME    NODES  TIME  ABOUT\nsteady     10  60 s  Nothing goes wrong.\n"
        );
    }
}
