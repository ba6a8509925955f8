//! How to call this program again.

use std::{env, ffi::OsString, path};

use crate::exit::Failure;

/// As it was called, since it need not be where the shell looks.
pub(crate) fn name() -> String {
    as_called(env::args_os().next())
}

/// A name by which a script can call it, wherever it is run: a path in full, or as the shell finds
/// it.
pub(crate) fn path() -> Result<String, Failure> {
    let called = env::args_os().next().unwrap_or_default();
    let called = called.into_string().unwrap_or_default();
    if !called.contains('/') {
        return Ok("meshcast".to_owned());
    }
    let path = path::absolute(&called).map_err(Failure::io(format!("find {called}")))?;
    Ok(path.to_string_lossy().into_owned())
}

fn as_called(called: Option<OsString>) -> String {
    let called = called.and_then(|called| called.into_string().ok());
    match called.filter(|called| called.contains('/')) {
        Some(path)
            if path.contains(|c: char| c.is_whitespace() || "'\"\\$&;()<>|*?`~#!".contains(c)) =>
        {
            format!("'{}'", path.replace('\'', "'\\''"))
        }
        Some(path) => path,
        None => "meshcast".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_called_again_as_it_was_called() {
        let program = |called: &str| as_called(Some(called.into()));
        assert_eq!(program("meshcast"), "meshcast");
        assert_eq!(
            program("target/release/meshcast"),
            "target/release/meshcast"
        );
        assert_eq!(program("/a b/it's/meshcast"), r"'/a b/it'\''s/meshcast'");
    }
}
