//! Log output of the node, on stderr: warnings, or what `MESHCAST_LOG` wants.

use std::{
    collections::HashMap,
    sync::{Mutex, Once, PoisonError},
    time::Instant,
};

use tracing::{Event, Metadata, callsite::Identifier, subscriber::Interest};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::FilterExt,
    fmt,
    layer::{Context, Filter, SubscriberExt},
    registry,
    util::SubscriberInitExt,
};

use crate::process;

/// Begins to write, once in a process.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let filter = match std::env::var("MESHCAST_LOG") {
            Ok(wanted) if !wanted.is_empty() => EnvFilter::new(wanted),
            _ => EnvFilter::new(BY_DEFAULT),
        };
        let lines = fmt::layer()
            .with_ansi(false)
            // It would be told on stderr, by a panic if nobody reads that.
            .log_internal_errors(false)
            .with_writer(std::io::stderr);
        // Another addon of the process may have done so before.
        let _ = registry()
            .with(lines.with_filter(filter.and(Bounded::default())))
            .try_init();
    });
}

/// Of the libraries only what is ours to know. That there is no key is said by `lib/hub.js`, in the
/// words of the package.
const BY_DEFAULT: &str = "error,meshcast=warn,meshcast::spawn=error,meshcast_proto=warn";

/// Lets so many lines of a kind through at once, and then as many as the time allows. A kind is a
/// place in the code.
#[derive(Debug, Default)]
struct Bounded(Mutex<HashMap<Identifier, Kind>>);

#[derive(Debug)]
struct Kind {
    /// Lines that may still be written.
    left: f64,
    since: Instant,
}

impl Bounded {
    fn pass(&self, kind: Identifier, now: Instant) -> bool {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(kind).or_insert(Kind {
            left: AT_ONCE,
            since: now,
        });
        let passed = now.saturating_duration_since(kind.since).as_secs_f64();
        kind.left = (kind.left + passed * A_SECOND).min(AT_ONCE);
        kind.since = now;
        let passes = kind.left >= 1.0;
        kind.left -= f64::from(u8::from(passes));
        passes
    }
}

impl<S> Filter<S> for Bounded {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        // A callsite that is always wanted is not asked about again, and then may not be refused
        // below: where it checks itself, tracing-subscriber panics in whoever logs; elsewhere the
        // next line goes as well.
        match *metadata.level() > tracing::Level::WARN {
            true => Interest::always(),
            false => Interest::sometimes(),
        }
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // That nobody else has what was posted is no news of a node that is to reach nobody.
        if metadata.target() == STOPPED && process::is_alone() {
            return false;
        }
        // A user who wants more than warnings wants all of it.
        *metadata.level() > tracing::Level::WARN || self.pass(metadata.callsite(), Instant::now())
    }
}

/// What a node says at its end.
const STOPPED: &str = "meshcast::events::stopped";

/// Enough for all members of a fleet that go at the same time.
const AT_ONCE: f64 = 50.0;
const A_SECOND: f64 = 1.0;
