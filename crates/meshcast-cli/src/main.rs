//! The command `meshcast`: regions on one machine, and a look into running nodes.

mod args;
mod client;
mod cmd;
mod dashboard;
mod descriptors;
mod exit;
mod faults;
mod graph;
mod http;
mod locate;
mod logging;
mod output;
mod program;
mod render;
mod report;
mod service;
mod signals;
mod survey;

use std::{env, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;
use tokio::runtime;

use crate::{
    args::{Args, Command, Global},
    exit::{Exit, Failure},
    output::Output,
    render::Colour,
};

fn main() -> ExitCode {
    // A shell that asks what fits gets that alone.
    CompleteEnv::with_factory(Args::command)
        .var(cmd::completions::VARIABLE)
        .complete();
    let args = match parse() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error).into(),
    };
    let Global { json, color, .. } = args.global;
    let output = if args.command.runs_nodes() {
        Output::of_members(json, color)
    } else {
        Ok(Output::new(json, color))
    };
    let output = match output {
        Ok(output) => output,
        Err(failure) => {
            Output::new(json, color).failure(&failure);
            return failure.exit.into();
        }
    };
    logging::start(&args, &output);
    let exit = match run(args.command, &output) {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    };
    output.finish();
    exit.into()
}

fn parse() -> Result<Args, clap::Error> {
    let mut command = Args::command().color(Colour::asked(env::args_os()).into());
    let matches = command.try_get_matches_from_mut(env::args_os())?;
    Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn run(command: Command, output: &Output) -> Result<Exit, Failure> {
    let mut runtime = runtime::Builder::new_multi_thread();
    if !command.runs_nodes() {
        // The command itself runs on the main thread; this one hears signals while that waits for a
        // pipe.
        runtime.worker_threads(1);
    }
    let runtime = runtime.enable_all().build().map_err(Failure::io("start"))?;
    runtime.block_on(async {
        if !command.hears_signals() {
            signals::exit_when_interrupted()?;
        }
        match command {
            Command::Up(args) => cmd::up::run(args, output).await,
            Command::Dashboard(args) => cmd::dashboard::run(args, output).await,
            Command::Fault(args) => cmd::fault::run(args, output).await,
            Command::Node(args) => cmd::node::run(args, output).await,
            Command::Nodes(args) => cmd::nodes::run(args, output).await,
            Command::Health(args) => cmd::health::run(args, output).await,
            Command::Peers(args) => cmd::peers::run(args, output).await,
            Command::Map(args) => cmd::map::run(args, output).await,
            Command::Doctor(args) => cmd::doctor::run(args, output).await,
            Command::Trace(args) => cmd::trace::run(args, output).await,
            Command::Channels(args) => cmd::channels::run(args, output).await,
            Command::Watch(args) => cmd::watch::run(args, output).await,
            Command::Who(args) => cmd::who::run(args, output).await,
            Command::Post(args) => cmd::post::run(args, output).await,
            Command::Ping(args) => cmd::ping::run(args, output).await,
            Command::Key(command) => cmd::key::run(command, output),
            Command::Config(command) => cmd::config::run(command, output),
            Command::Sim(command) => cmd::sim::run(command, output),
            Command::Completions(args) => cmd::completions::run(args, output),
            Command::Top(args) => cmd::top::run(args, output).await,
            Command::Bench(args) => cmd::bench::run(args, output).await,
            Command::Man(args) => cmd::man::run(args, output),
        }
    })
}
