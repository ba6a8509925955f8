//! Logs go to stderr; `RUST_LOG` has the last word about which.

mod bounded;

use tracing_subscriber::{
    EnvFilter, Layer, filter::FilterExt, fmt, layer::SubscriberExt, registry,
    util::SubscriberInitExt,
};

use self::bounded::Bounded;
pub(crate) use self::bounded::Throttle;

use crate::{
    args::{Args, Command},
    output::Output,
};

pub(crate) fn start(args: &Args, output: &Output) {
    let by_default = match (args.global.verbose, &args.command) {
        // It says itself what these lines say.
        (0, Command::Node(_)) => "warn,meshcast=info,meshcast::events=off",
        // The events are in the scenario, and printed as they happen.
        (0, Command::Up(up)) if up.scenario.is_some() => {
            "warn,meshcast::events=error,meshcast::driver::connections=error"
        }
        (0, Command::Up(_)) => "warn,meshcast::events::stopped=off",
        (0, _) => "warn",
        (1, _) => "warn,meshcast=info,meshcast_proto=info",
        (2, _) => "info,meshcast=debug,meshcast_proto=debug",
        _ => "debug,meshcast=trace,meshcast_proto=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(by_default));
    let colour = output.stderr_palette().has_colour();
    let bounded = Bounded::new(output.clone());
    let output = output.clone();
    let lines = fmt::layer()
        .with_ansi(colour)
        // It would be told on stderr, by a panic if nobody reads that.
        .log_internal_errors(false)
        .with_writer(move || output.log());
    registry()
        .with(lines.with_filter(filter.and(bounded)))
        .init();
}
