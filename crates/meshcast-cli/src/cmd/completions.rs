//! `meshcast completions`

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{
    args::{self, Args},
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) fn run(args: args::Completions, output: &Output) -> Result<Exit, Failure> {
    output.raw(&script(args.shell))?;
    Ok(Exit::Ok)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "meshcast", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_script_completes_this_command() {
        for shell in Shell::value_variants() {
            let binding = match shell {
                Shell::Bash => "default meshcast\n",
                Shell::Zsh => "#compdef meshcast\n",
                Shell::Fish => "complete -c meshcast ",
                Shell::PowerShell => "-CommandName 'meshcast'",
                _ => "meshcast",
            };
            let script = script(*shell);
            assert!(script.contains(binding), "{shell}");
            assert!(script.contains("watch"), "{shell}");
        }
    }
}
