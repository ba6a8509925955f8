//! The end of the command: one number, and one message if it went wrong.

use std::{borrow::Cow, env, io, process::ExitCode};

use meshcast::admin::schema::{Problem, Refused, code};
use serde::Serialize;

use crate::render::Colour;

/// What the exit status says. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is done.
    Ok = 0,
    /// It could not be done.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is no node to talk to.
    NoNode = 3,
    /// It took too long.
    Timeout = 4,
    /// The system says no.
    NotPermitted = 5,
    /// Some nodes answered and some were silent.
    Partial = 6,
    /// The user did not want to wait.
    Interrupted = 130,
}

impl Exit {
    fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NoNode => "no_node",
            Self::Timeout => "timeout",
            Self::NotPermitted => "not_permitted",
            Self::Partial => "partial",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the command ends early, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// For programs.
    pub(crate) code: Cow<'static, str>,
    /// For people; empty if there is nothing to say.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl ToString) -> Self {
        Self {
            exit,
            code: exit.code().into(),
            message: message.to_string(),
            hint: None,
        }
    }

    pub(crate) fn failed(message: impl ToString) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl ToString) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn no_node(message: impl ToString) -> Self {
        Self::new(Exit::NoNode, message)
    }

    pub(crate) fn timeout(message: impl ToString) -> Self {
        Self::new(Exit::Timeout, message)
    }

    pub(crate) fn hint(self, hint: impl ToString) -> Self {
        Self {
            hint: Some(hint.to_string()),
            ..self
        }
    }

    /// For `map_err`: the operating system refused to do `what`.
    pub(crate) fn io(what: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let exit = match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::NotPermitted,
                io::ErrorKind::TimedOut => Exit::Timeout,
                _ => Exit::Failed,
            };
            Self::new(exit, format!("cannot {}: {error}", what.to_string()))
        }
    }

    /// The reader of our output wants no more of it: no fault of anybody.
    pub(crate) fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, ""),
            _ => Self::io("write the output")(error),
        }
    }
}

/// What the node said.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (exit, hint) = match problem.code.as_str() {
            code::BAD_REQUEST | code::BAD_JSON | code::BAD_CHANNEL => (Exit::Usage, None),
            code::TIMED_OUT => (Exit::Timeout, None),
            code::STOPPED => (Exit::NoNode, None),
            code::FULL => (
                Exit::Failed,
                Some("the node cannot send as fast as this: post again in a moment"),
            ),
            code::NOT_CONNECTED => (
                Exit::Failed,
                Some("see whom it knows with `meshcast peers`"),
            ),
            _ => (Exit::Failed, None),
        };
        Self {
            exit,
            code: problem.code.into(),
            message: problem.message,
            hint: hint.map(ToOwned::to_owned),
        }
    }
}

/// A failure as JSON: what the admin socket says, and the hint.
#[derive(Serialize)]
pub(crate) struct FailureJson {
    #[serde(flatten)]
    refused: Refused,
    hint: Option<String>,
}

impl From<&Failure> for FailureJson {
    fn from(failure: &Failure) -> Self {
        let error = Problem {
            code: failure.code.to_string(),
            message: failure.message.clone(),
        };
        Self {
            refused: Refused { error },
            hint: failure.hint.clone(),
        }
    }
}

/// Ends what did not parse: with help if that was asked for, else with what is wrong.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader of the help that has seen enough is no error.
        let _ = error.print();
        return Exit::Ok;
    }
    if env::args_os()
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json")
    {
        let text = error.to_string();
        let message = text
            .split("\n\n")
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        let failure = Failure::usage(message.trim()).hint("see `meshcast --help`");
        crate::output::Output::new(true, Colour::Auto).failure(&failure);
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        use Exit::*;
        let codes = [
            Ok,
            Failed,
            Usage,
            NoNode,
            Timeout,
            NotPermitted,
            Partial,
            Interrupted,
        ];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5, 6, 130]);
    }

    #[test]
    fn what_the_node_says_becomes_an_exit_code() {
        for (code, exit) in [
            (code::BAD_CHANNEL, Exit::Usage),
            (code::BAD_JSON, Exit::Usage),
            (code::TIMED_OUT, Exit::Timeout),
            (code::STOPPED, Exit::NoNode),
            (code::FULL, Exit::Failed),
            (code::TOO_LARGE, Exit::Failed),
            ("something new", Exit::Failed),
        ] {
            let problem = Problem {
                code: code.into(),
                message: "so it is".into(),
            };
            assert_eq!(Failure::from(problem).exit, exit, "{code}");
        }
    }

    #[test]
    fn a_failure_is_json_on_demand() {
        let failure = Failure::no_node("no node is running here").hint("start some");
        assert_eq!(
            serde_json::to_string(&FailureJson::from(&failure)).expect("plain"),
            r#"{"error":{"code":"no_node","message":"no node is running here"},"hint":"start some"}"#
        );
    }

    #[test]
    fn a_broken_pipe_is_a_quiet_end() {
        let failure = Failure::stdout(io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Ok, ""));
    }

    #[test]
    fn a_refusal_of_the_system_has_its_own_code() {
        let denied = Failure::io("open it")(io::ErrorKind::PermissionDenied.into());
        assert_eq!(denied.exit, Exit::NotPermitted);
        assert!(
            denied.message.starts_with("cannot open it: "),
            "{}",
            denied.message
        );
    }
}
