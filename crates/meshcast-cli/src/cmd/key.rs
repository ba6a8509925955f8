//! `meshcast key`

use clap::Subcommand;
use meshcast::MeshKey;
use serde::Serialize;

use crate::{
    args::TEMPLATE,
    exit::{Exit, Failure},
    output::Output,
};

/// Make the secret that members of a mesh share
#[derive(Debug, Subcommand)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  (umask 077; meshcast key new > mesh.key)
  export MESHCAST_KEY=$(meshcast key new)")]
pub(crate) enum Key {
    /// Make a new one: whoever has it is a member
    New,
}

pub(crate) fn run(command: Key, output: &Output) -> Result<Exit, Failure> {
    match command {
        Key::New => {
            let key = Report {
                schema: "key/v1",
                key: generate()?.to_secret_text(),
            };
            output.result(&key, || format!("{}\n", key.key))?;
            output.note(
                "Keep it secret: whoever has it is a member. Nodes take it from MESHCAST_KEY or --key-file.",
            );
            Ok(Exit::Ok)
        }
    }
}

/// A key nobody has yet.
pub(crate) fn generate() -> Result<MeshKey, Failure> {
    MeshKey::random()
        .map_err(|error| Failure::failed(format!("the system gives no random numbers: {error}")))
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_new_and_readable() {
        let (a, b) = (generate().expect("random"), generate().expect("random"));
        assert_ne!(a, b);
        assert_eq!(a.to_secret_text().parse(), Ok(a));
    }
}
