//! A message a line of stdin.

use std::mem;

use hyper::body::Bytes;
use meshcast::admin::schema::{LINES_BODY, PostedLines, code, name};
use tokio::io::{AsyncRead, AsyncReadExt, stdin};

use super::{Post, STDIN_LIMIT, had_by};
use crate::{
    client::{Client, channel_query},
    exit::{Exit, Failure},
    locate,
    output::Output,
    render,
};

pub(super) async fn run(args: &Post, output: &Output) -> Result<Exit, Failure> {
    let client = locate::pick(&args.target, output).await?;
    let mut poster = Poster::new(args, output, client);
    let mut lines = Lines::new(stdin());
    while let Some(batch) = lines.next().await? {
        poster.post(batch).await?;
    }
    let Poster { posted, client, .. } = poster;
    output.result(&posted, || {
        let count = posted.posted;
        format!(
            "posted {count} {} to {} at {}{}\n",
            if count == 1 { "line" } else { "lines" },
            render::channel(&posted.channel),
            render::text(&posted.node),
            had_by(posted.acked, "the last")
        )
    })?;
    if posted.posted > 0 {
        args.tell_if_nobody(&client, output).await;
    }
    Ok(Exit::Ok)
}

/// Complete lines, as many as there are at once.
struct Lines<R> {
    stream: R,
    /// What is left of the last read: part of a line.
    held: Vec<u8>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    const fn new(stream: R) -> Self {
        Self {
            stream,
            held: Vec::new(),
            ended: false,
        }
    }

    /// At least one line, the last of the stream perhaps without its end. Not much longer than a
    /// read unless it is one line alone.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut searched = 0;
        while !self.ended {
            if let Some(end) = self.held[searched..].iter().rposition(|it| *it == b'\n') {
                let rest = self.held.split_off(searched + end + 1);
                return Ok(Some(mem::replace(&mut self.held, rest)));
            }
            searched = self.held.len();
            if searched as u64 > STDIN_LIMIT {
                return Err(Failure::failed(format!(
                    "a line of stdin has more than the {STDIN_LIMIT} bytes any node takes"
                )));
            }
            self.held.reserve(READ);
            let mut room = (&mut self.stream).take(READ as u64);
            let read = room.read_buf(&mut self.held).await;
            self.ended = read.map_err(Failure::io("read stdin"))? == 0;
        }
        let last = mem::take(&mut self.held);
        Ok(Some(last).filter(|last| !last.is_empty()))
    }
}

struct Poster<'a> {
    args: &'a Post,
    output: &'a Output,
    client: Client,
    path: String,
    /// All so far.
    posted: PostedLines,
    told: bool,
}

impl<'a> Poster<'a> {
    fn new(args: &'a Post, output: &'a Output, client: Client) -> Self {
        let form = match (args.raw, output.json()) {
            (true, _) => "raw",
            (_, true) => "json",
            _ => "text",
        };
        let query = channel_query(args.channel.as_str()) + &args.wait_query();
        Self {
            path: format!("/v1/lines?{query}&form={form}"),
            posted: PostedLines {
                schema: name::POSTED_LINES.into(),
                channel: args.channel.to_string(),
                node: client.name().to_owned(),
                posted: 0,
                seq: None,
                acked: None,
                refused: None,
                unacknowledged: None,
            },
            args,
            output,
            client,
            told: false,
        }
    }

    /// Posts lines, however long there is no room for them.
    async fn post(&mut self, lines: Vec<u8>) -> Result<(), Failure> {
        let mut left = Bytes::from(lines);
        while !left.is_empty() {
            let posted = self.client.post_within::<PostedLines>(
                self.args.wait_time(),
                &self.path,
                left.clone(),
            );
            let now = match posted.await {
                Ok(now) => now,
                // Too long to be looked at: then it is one line alone.
                Err(failure) if failure.code == code::TOO_LARGE => return Err(self.at(failure)),
                Err(failure) => return Err(self.after(failure)),
            };
            self.posted.posted += now.posted;
            self.posted.node = now.node;
            if now.posted > 0 {
                (self.posted.seq, self.posted.acked) = (now.seq, now.acked);
            }
            if let Some(problem) = now.unacknowledged {
                return Err(self.after(problem.into()));
            }
            if let Some(problem) = now.refused {
                return Err(self.at(problem.into()));
            }
            if now.posted > 0 {
                self.args.judge(now.acked).map_err(|it| self.after(it))?;
            } else if !mem::replace(&mut self.told, true) {
                self.output
                    .note("there is no room at the node yet: waiting");
            }
            left = left.slice(end_of(&left, now.posted)..);
        }
        Ok(())
    }

    /// The line after those that are posted is at fault.
    fn at(&self, failure: Failure) -> Failure {
        let count = self.posted.posted;
        let before = match count {
            0 => "nothing is posted".to_owned(),
            1 => "line 1 is posted".to_owned(),
            _ => format!("lines 1 to {count} are posted"),
        };
        let message = format!("line {}: {}; {before}", count + 1, failure.message);
        Failure { message, ..failure }
    }

    fn after(&self, failure: Failure) -> Failure {
        let message = format!("after {} lines: {}", self.posted.posted, failure.message);
        Failure { message, ..failure }
    }
}

/// Where so many lines end.
pub(crate) fn end_of(lines: &[u8], count: u64) -> usize {
    let mut ends = lines.iter().enumerate().filter(|(_, it)| **it == b'\n');
    let last = usize::try_from(count).unwrap_or(usize::MAX).checked_sub(1);
    let end = last.map(|last| ends.nth(last).map_or(lines.len(), |(end, _)| end + 1));
    end.unwrap_or(0)
}

/// The size of a read: with what was held before, a node takes it in one request.
const READ: usize = LINES_BODY / 4;

#[cfg(test)]
mod tests {
    use std::{io, pin::Pin, task};

    use tokio::io::ReadBuf;

    use super::*;

    /// A stream whose reads end at the dots.
    struct Reads(Vec<&'static [u8]>);

    impl AsyncRead for Reads {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> task::Poll<io::Result<()>> {
            if !self.0.is_empty() {
                into.put_slice(self.0.remove(0));
            }
            task::Poll::Ready(Ok(()))
        }
    }

    async fn batches(text: &'static str) -> Vec<String> {
        let reads = text.split('.').filter(|it| !it.is_empty());
        let mut lines = Lines::new(Reads(reads.map(str::as_bytes).collect()));
        let mut batches = Vec::new();
        while let Some(batch) = lines.next().await.expect("it can be read") {
            batches.push(String::from_utf8(batch).expect("text"));
        }
        batches
    }

    #[tokio::test]
    async fn complete_lines_are_posted_as_they_come_and_parts_wait_for_the_rest() {
        for (read, posted) in [
            ("", &[][..]),
            ("a\n", &["a\n"]),
            ("a\nb\n.c\n", &["a\nb\n", "c\n"]),
            ("a\nb.c.d\ne", &["a\n", "bcd\n", "e"]),
            ("\n.\n", &["\n", "\n"]),
        ] {
            assert_eq!(batches(read).await, posted, "{read:?}");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_no_line() {
        struct Endless;
        impl AsyncRead for Endless {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut task::Context<'_>,
                into: &mut ReadBuf<'_>,
            ) -> task::Poll<io::Result<()>> {
                let room = into.initialize_unfilled().len();
                into.advance(room);
                task::Poll::Ready(Ok(()))
            }
        }
        let failure = Lines::new(Endless).next().await.expect_err("too long");
        assert_eq!(failure.exit, Exit::Failed);
    }

    #[test]
    fn what_is_posted_is_cut_off_by_lines() {
        for (count, end) in [(0, 0), (1, 2), (2, 3), (3, 5), (9, 5)] {
            assert_eq!(end_of(b"a\n\nbc", count), end, "{count}");
        }
    }
}
