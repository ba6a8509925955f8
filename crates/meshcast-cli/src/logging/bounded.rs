//! Keeps log lines of one kind from filling the disk, whoever writes them: also libraries log what
//! others provoke.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use meshcast_proto::{Rate, Time, TokenBucket};
use tracing::{Event, Level, Metadata, callsite::Identifier, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};

use crate::output::Output;

/// Lets so many lines of a kind through at once and one a second in the long run, and tells how
/// many others there were. A kind is a place in the code. Lines for debugging are let through:
/// whoever asks for them wants all.
#[derive(Debug)]
pub(super) struct Bounded {
    /// As many as there are places in the code.
    kinds: Mutex<HashMap<Identifier, Throttle>>,
    output: Output,
}

/// The number of lines of one kind that pass, and of those that did not since the last that did.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    bucket: TokenBucket,
    /// When the first came.
    begun: Option<Instant>,
    suppressed: u64,
}

impl Bounded {
    pub(super) fn new(output: Output) -> Self {
        Self {
            kinds: Mutex::default(),
            output,
        }
    }

    /// Whether a line passes now; if so, how many did not since the last.
    fn pass(&self, kind: Identifier, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(kind).or_default().pass(now)
    }
}

impl<S> Filter<S> for Bounded {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        // A callsite that is always wanted is not asked about again, and then may not be refused
        // below: where it checks itself, tracing-subscriber panics in whoever logs.
        match *metadata.level() > Level::INFO {
            true => Interest::always(),
            false => Interest::sometimes(),
        }
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        let passed = self.pass(metadata.callsite(), Instant::now());
        if let Some(suppressed) = passed.filter(|suppressed| *suppressed > 0) {
            let target = metadata.target();
            self.output.note(&format!(
                "{suppressed} lines of {target} like the next were left out"
            ));
        }
        passed.is_some()
    }
}

impl Throttle {
    /// Whether a line passes now; if so, how many did not since the last.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        let begun = *self.begun.get_or_insert(now);
        let now = Time::from_start(now.saturating_duration_since(begun));
        if !self.bucket.try_take(RATE, now) {
            self.suppressed += 1;
            return None;
        }
        Some(mem::take(&mut self.suppressed))
    }
}

/// One for each of fifty nodes.
const RATE: Rate = Rate::every(Duration::from_secs(1), 50);

#[cfg(test)]
mod tests {
    use tracing_subscriber::{
        EnvFilter, Layer, filter::FilterExt, fmt, layer::SubscriberExt, registry,
    };

    use super::*;
    use crate::render::Colour;

    #[test]
    fn whoever_logs_more_than_may_be_goes_on() {
        let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
        let filter = EnvFilter::new("warn").and(Bounded::new(Output::new(false, Colour::Never)));
        let written = std::sync::Arc::clone(&lines);
        let layer = fmt::layer().with_writer(move || Lines(std::sync::Arc::clone(&written)));
        let subscriber = registry().with(layer.with_filter(filter));
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..200 {
                tracing::warn!(n, "one of many");
            }
        });
        let lines = lines.lock().expect("no holder panics");
        let count = lines.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(count, 50);
    }

    struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_a_kind_are_bounded_and_counted() {
        let start = Instant::now();
        let mut kind = Throttle::default();
        let mut said = |after: f64| {
            (0..1_000)
                .filter_map(|_| kind.pass(start + Duration::from_secs_f64(after)))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(0.0), [0; 50]);
        assert_eq!(said(0.5), [0; 0]);
        assert_eq!(said(2.5), [1_950, 0]);
        let later = said(1_000.0);
        assert_eq!((later.len(), later[0], later[1]), (50, 998, 0));
    }
}
