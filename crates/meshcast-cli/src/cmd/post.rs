//! `meshcast post`

use std::io::{self, Read};

use hyper::body::Bytes;
use meshcast::{Value, admin::schema::Posted};

use crate::{
    args,
    client::channel_query,
    exit::{Exit, Failure},
    locate,
    output::Output,
    render,
};

pub(crate) async fn run(args: args::Post, output: &Output) -> Result<Exit, Failure> {
    let body = if args.value == "-" {
        let read = stdin()?;
        if args.raw {
            read
        } else {
            body(&one_message(read)?, output.json())?
        }
    } else if args.raw {
        args.value.into_bytes()
    } else {
        body(&args.value, output.json())?
    };
    let client = locate::pick(&args.target, output).await?;
    let query = channel_query(args.channel.as_str()) + if args.raw { "&raw=1" } else { "" };
    let posted: Posted = client
        .post(&format!("/v1/messages?{query}"), Bytes::from(body))
        .await?;
    output.result(&posted, || {
        format!(
            "posted to {} at {}\n",
            render::channel(&posted.channel),
            render::text(&posted.node)
        )
    })?;
    Ok(Exit::Ok)
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut read = Vec::new();
    io::stdin()
        .lock()
        .take(STDIN_LIMIT + 1)
        .read_to_end(&mut read)
        .map_err(Failure::io("read stdin"))?;
    if read.len() as u64 > STDIN_LIMIT {
        return Err(Failure::failed(format!(
            "stdin holds more than the {STDIN_LIMIT} bytes any node takes"
        )));
    }
    Ok(read)
}

fn one_message(read: Vec<u8>) -> Result<String, Failure> {
    let mut text = String::from_utf8(read)
        .map_err(|_| Failure::usage("what stdin holds is no text").hint("post bytes with --raw"))?;
    if text.ends_with('\n') {
        text.truncate(text.len() - 1 - usize::from(text.ends_with("\r\n")));
    }
    Ok(text)
}

fn body(value: &str, json: bool) -> Result<Vec<u8>, Failure> {
    if json {
        // Said here, where the command line is known, rather than by the node.
        Value::from_json_text(value).map_err(|error| {
            Failure::usage(format!("the value is no JSON that can be posted: {error}"))
                .hint("without --json it is posted as a string")
        })?;
        return Ok(value.into());
    }
    serde_json::to_vec(value).map_err(Failure::failed)
}

/// Far over what a node takes by default: it has the last word, this only bounds what is held for
/// it.
const STDIN_LIMIT: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_posted_as_a_string_and_json_as_it_is() {
        assert_eq!(body("42", false), Ok(br#""42""#.to_vec()));
        assert_eq!(body("42", true), Ok(b"42".to_vec()));
        assert_eq!(
            body("[1e400]", true).map_err(|failure| failure.exit),
            Err(Exit::Usage)
        );
        assert_eq!(
            body("hello", true).map_err(|failure| failure.exit),
            Err(Exit::Usage)
        );
    }

    #[test]
    fn one_line_break_at_the_end_of_stdin_is_not_part_of_the_message() {
        for (read, message) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(one_message(read.into()).as_deref(), Ok(message));
        }
        assert_eq!(
            one_message(vec![0xff]).map_err(|failure| failure.exit),
            Err(Exit::Usage)
        );
    }
}
