//! `meshcast completions`

pub(crate) mod live;

use clap::Args as ClapArgs;
use clap_complete::{Shell, env::Shells};

use crate::{
    args::TEMPLATE,
    exit::{Exit, Failure},
    output::Output,
    program,
};

/// Print what completes this command in a shell
///
/// It completes the names of nodes and channels that are there at the moment too.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  source <(meshcast completions bash)
  meshcast completions zsh > ~/.zfunc/_meshcast
  meshcast completions fish > ~/.config/fish/completions/meshcast.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// The variable by which such a script asks the command what fits.
pub(crate) const VARIABLE: &str = "MESHCAST_COMPLETE";

pub(crate) fn run(args: Completions, output: &Output) -> Result<Exit, Failure> {
    output.raw(&script(args.shell, &program::path()?)?)?;
    Ok(Exit::Ok)
}

fn script(shell: Shell, program: &str) -> Result<String, Failure> {
    let shells = Shells::builtins();
    let shell = shells
        .completer(&shell.to_string())
        .ok_or_else(|| Failure::usage(format!("{shell} cannot be completed")))?;
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, "meshcast", "meshcast", program, &mut script)
        .map_err(Failure::io("write the script"))?;
    String::from_utf8(script).map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_script_completes_this_command_by_asking_it() {
        for shell in Shell::value_variants() {
            let binding = match shell {
                Shell::Bash => "_clap_complete_meshcast meshcast\n",
                Shell::Zsh => "#compdef meshcast\n",
                Shell::Fish => "complete --keep-order --exclusive --command meshcast ",
                Shell::PowerShell => "-CommandName meshcast",
                _ => "meshcast",
            };
            let script = script(*shell, "/opt/meshcast").expect("it is known");
            assert!(script.contains(binding), "{shell}: {script}");
            assert!(script.contains("/opt/meshcast"), "{shell}: {script}");
            assert!(script.contains(VARIABLE), "{shell}: {script}");
        }
    }
}
