//! Who posts.

use std::{fmt::Write, time::Duration};

use hyper::body::Bytes;
use meshcast::admin::schema::PostedLines;
use tokio::time::{Instant, sleep_until};

use super::{Bench, Rate, listeners::Listeners};
use crate::{
    client::{Client, channel_query},
    cmd::post::end_of,
    exit::Failure,
};

/// Makes messages and posts them as lines.
#[derive(Debug)]
pub(super) struct Poster {
    client: Client,
    path: String,
    id: String,
    /// The padding that makes a message as large as it is to be.
    padding: String,
    rate: Rate,
    size: u64,
    duration: Duration,
    count: u64,
    /// What times in messages are relative to.
    start: Instant,
}

/// What was posted.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// From the first to the last.
    pub(super) took: Duration,
}

impl Poster {
    pub(super) fn new(args: &Bench, client: Client, id: &str, start: Instant) -> Self {
        Self {
            client,
            path: format!("/v1/lines?{}", channel_query(args.channel.as_str())),
            id: id.to_owned(),
            padding: "x".repeat(args.size as usize),
            rate: args.rate,
            size: args.size.into(),
            duration: args.duration,
            count: args.count.unwrap_or(u64::MAX),
            start,
        }
    }

    /// Posts something that is not counted.
    pub(super) async fn knock(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        self.line(&mut line, 0, Duration::ZERO);
        self.send(line).await
    }

    /// Posts for as long, or as many, as it is to be.
    pub(super) async fn run(&mut self, listeners: &Listeners) -> Result<Posted, Failure> {
        let begun = Instant::now();
        let (mut posted, mut bytes) = (0, 0);
        while posted < self.count && begun.elapsed() < self.duration {
            let most = (BATCH / self.size).max(1).min(self.count - posted);
            let wanted = match self.rate {
                Rate::Max => {
                    listeners
                        .reach((posted + most).saturating_sub(self.window()))
                        .await;
                    most
                }
                Rate::Fixed(rate) => {
                    let due = due_by(begun.elapsed(), rate);
                    if due <= posted {
                        sleep_until(begun + due_at(posted, rate)).await;
                        continue;
                    }
                    most.min(due - posted)
                }
            };
            let mut lines = String::new();
            for n in posted..posted + wanted {
                let due = match self.rate {
                    Rate::Max => Instant::now(),
                    Rate::Fixed(rate) => begun + due_at(n, rate),
                };
                self.line(&mut lines, n + 1, due - self.start);
            }
            bytes += lines.len() as u64 - wanted;
            self.send(lines).await?;
            posted += wanted;
        }
        // At a rate the last message takes as long as the others: the next is due only then.
        let took = match self.rate {
            Rate::Max => begun.elapsed(),
            Rate::Fixed(rate) => begun.elapsed().max(due_at(posted, rate)),
        };
        Ok(Posted {
            messages: posted,
            bytes,
            took,
        })
    }

    /// How many may be under way at the rate `max`.
    fn window(&self) -> u64 {
        (WINDOW_BYTES / self.size).clamp(LEAST_WINDOW, MOST_WINDOW)
    }

    fn line(&self, lines: &mut String, n: u64, due: Duration) {
        let (id, micros, begin) = (&self.id, due.as_micros(), lines.len());
        let written = write!(lines, r#"{{"bench":"{id}","n":{n},"t":{micros},"pad":""#);
        debug_assert!(written.is_ok(), "a string takes anything");
        let rest = self.padding.len().saturating_sub(lines.len() - begin + 2);
        lines.push_str(&self.padding[..rest]);
        lines.push_str("\"}\n");
    }

    async fn send(&self, lines: String) -> Result<(), Failure> {
        let mut left = Bytes::from(lines);
        while !left.is_empty() {
            let posted: PostedLines = self.client.post(&self.path, left.clone()).await?;
            if let Some(problem) = posted.refused {
                return Err(problem.into());
            }
            left = left.slice(end_of(&left, posted.posted)..);
        }
        Ok(())
    }
}

/// How many messages are due by then: the first at once.
fn due_by(passed: Duration, rate: u32) -> u64 {
    let due = passed.as_nanos() * u128::from(rate) / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
}

/// When the message after so many is due.
fn due_at(before: u64, rate: u32) -> Duration {
    let nanos = (u128::from(before) * 1_000_000_000).div_ceil(rate.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Bytes that are posted at once.
const BATCH: u64 = 64 * 1024;
/// At the rate `max`, under way at once: less than a node holds unread for one that listens, so
/// that what is measured is not how much that is.
const WINDOW_BYTES: u64 = 4 << 20;
const LEAST_WINDOW: u64 = 8;
const MOST_WINDOW: u64 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_intervals_from_the_first_on() {
        let rate = 3;
        for n in 0..10 {
            let at = due_at(n, rate);
            assert_eq!(due_by(at, rate), n + 1, "{n}");
            if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
                assert_eq!(due_by(before, rate), n, "{n}");
            }
        }
        assert_eq!(due_by(Duration::from_secs(2), 1000), 2001);
    }
}
