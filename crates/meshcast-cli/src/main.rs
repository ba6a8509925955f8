//! The command `meshcast`: regions on one machine, and a look into running nodes.

mod args;
mod client;
mod cmd;
mod descriptors;
mod exit;
mod faults;
mod locate;
mod logging;
mod output;
mod program;
mod render;
mod service;
mod signals;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime;

use crate::{
    args::{Args, Command},
    exit::{Exit, Failure},
    output::Output,
};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error).into(),
    };
    let output = if args.command.runs_nodes() {
        Output::of_members(args.global.json)
    } else {
        Ok(Output::new(args.global.json))
    };
    let output = match output {
        Ok(output) => output,
        Err(failure) => {
            Output::new(args.global.json).failure(&failure);
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

fn run(command: Command, output: &Output) -> Result<Exit, Failure> {
    let mut runtime = runtime::Builder::new_multi_thread();
    if !command.runs_nodes() {
        // The command itself runs on the main thread; this one hears signals while that waits for a
        // pipe.
        runtime.worker_threads(1);
    }
    let runtime = runtime.enable_all().build().map_err(Failure::io("start"))?;
    runtime.block_on(async {
        if !command.runs_nodes() {
            signals::exit_when_interrupted()?;
        }
        match command {
            Command::Up(args) => cmd::up::run(args, output).await,
            Command::Fault(args) => cmd::fault::run(args, output).await,
            Command::Node(args) => cmd::node::run(args, output).await,
            Command::Nodes(args) => cmd::nodes::run(args, output).await,
            Command::Peers(args) => cmd::peers::run(args, output).await,
            Command::Channels(args) => cmd::channels::run(args, output).await,
            Command::Watch(args) => cmd::watch::run(args, output).await,
            Command::Post(args) => cmd::post::run(args, output).await,
            Command::Ping(args) => cmd::ping::run(args, output).await,
            Command::Key(command) => cmd::key::run(command, output),
            Command::Config(command) => cmd::config::run(command, output),
            Command::Sim(command) => cmd::sim::run(command, output),
            Command::Completions(args) => cmd::completions::run(args, output),
        }
    })
}
