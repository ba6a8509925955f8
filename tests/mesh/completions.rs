//! Completions in real shells, and what else is made of the command line.

use std::process::Command;

use crate::harness::{PATIENCE, Process, Session, Terminal, eventually};

/// A shell that finds the command on its path; `None` if the shell is not installed.
fn shell_command(session: &Session, shell: &str, arguments: &[&str]) -> Option<Command> {
    let command = session.command(&[]);
    let program = std::path::Path::new(command.get_program());
    let mut shell = Command::new(shell);
    shell.env_clear().args(arguments);
    for (name, value) in command.get_envs() {
        shell.envs(value.map(|value| (name, value)));
    }
    let built = program.parent().expect("a directory");
    shell.env("PATH", format!("{}:/usr/bin:/bin", built.display()));
    let found = Command::new("which").arg(shell.get_program()).output();
    if !found.is_ok_and(|found| found.status.success()) {
        eprintln!("skipped: {:?} is not installed", shell.get_program());
        return None;
    }
    Some(shell)
}

/// Runs a script in a shell.
fn shell(session: &Session, shell: &str, arguments: &[&str], script: &str) -> Option<String> {
    let mut shell = shell_command(session, shell, arguments)?;
    shell.arg(script);
    let (status, stdout, stderr) = Process::start(shell).end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{stdout}{stderr}");
    Some(stdout)
}

/// What bash offers at the end of a line, having loaded the script as people do.
fn bash(session: &Session, line: &str) -> Option<Vec<String>> {
    let script = format!(
        r#"source <(meshcast completions bash)
        read -ra words <<<'{line}'
        [[ '{line}' == *' ' ]] && words+=('')
        binding=$(complete -p meshcast) || exit 1
        function=${{binding##*-F }}
        COMP_WORDS=("${{words[@]}}") COMP_CWORD=$((${{#words[@]}} - 1))
        COMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}} COMP_TYPE=9
        ${{function%% *}} meshcast "${{words[-1]}}" "${{words[-2]}}"
        printf '%s\n' "${{COMPREPLY[@]}}""#
    );
    let offered = shell(session, "bash", &["--norc", "-c"], &script)?;
    Some(offered.lines().map(str::to_owned).collect())
}

#[test]
fn bash_completes_commands_options_and_what_is_there_now() {
    let session = Session::new();
    let Some(commands) = bash(&session, "meshcast ") else {
        return;
    };
    for command in ["watch", "top", "bench"] {
        assert!(commands.iter().any(|it| it == command), "{commands:?}");
    }
    assert!(
        !commands.iter().any(|it| it == "man"),
        "it is for packagers"
    );
    let complete = |line: &str| bash(&session, line).expect("it is installed");
    assert_eq!(complete("meshcast po"), ["post"]);
    assert_eq!(complete("meshcast watch earth --cou"), ["--count"]);
    assert_eq!(complete("meshcast completions fi"), ["fish"]);
    // Nobody is there: nothing is offered, and nothing is said.
    assert!(complete("meshcast peers --node ").is_empty());
    let _up = session.up_and_converged();
    assert_eq!(
        complete("meshcast peers --node "),
        ["fra-1", "iad-1", "nrt-1"]
    );
    assert_eq!(complete("meshcast ping n"), ["nrt-1"]);
    for command in ["watch", "trace", "bench"] {
        assert_eq!(complete(&format!("meshcast {command} ea")), ["earth"]);
    }
    // What it may be comes before options.
    assert_eq!(complete("meshcast post ")[0], "earth");
    // It is there for faults a little later than its nodes.
    eventually("a node to kill is offered", PATIENCE, || {
        (complete("meshcast fault kill i") == ["iad-1"]).then_some(())
    });
    let places = complete("meshcast fault one-way f");
    assert_eq!(places, ["fra", "fra-1"]);
}

#[test]
fn fish_completes_what_is_there_now() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let offered = |line: &str| {
        let script = format!("meshcast completions fish | source; complete -C '{line}'");
        let offered = shell(&session, "fish", &["--no-config", "-c"], &script)?;
        Some(offered.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let Some(nodes) = offered("meshcast peers --node ") else {
        return;
    };
    assert_eq!(nodes, ["fra-1", "iad-1", "nrt-1"]);
    assert_eq!(
        offered("meshcast watch ea").expect("it is there"),
        ["earth"]
    );
}

/// It completes in an interactive shell alone, so the keys are pressed in a terminal.
#[test]
fn zsh_completes_what_is_there_now() {
    let session = Session::new();
    let Some(mut zsh) = shell_command(&session, "zsh", &["-f", "-i"]) else {
        return;
    };
    let _up = session.up_and_converged();
    zsh.env("PS1", "ready> ");
    let mut zsh = Terminal::start(zsh);
    zsh.shows("ready> ");
    zsh.press("autoload -U compinit; compinit -D -u; source <(meshcast completions zsh)\r");
    // It is echoed as it is typed, and said as it is run.
    zsh.press("print lo''aded\r");
    zsh.shows("loaded");
    zsh.press("meshcast peers --node \t");
    for name in ["fra-1", "iad-1", "nrt-1"] {
        zsh.shows(name);
    }
    zsh.press("n\t");
    zsh.shows("meshcast peers --node nrt-1");
    zsh.press("\x15meshcast watch ea\t");
    zsh.shows("meshcast watch earth");
    zsh.press("\x15meshcast do\t");
    zsh.shows("meshcast doctor");
}

#[test]
fn manual_pages_are_written_for_each_command() {
    let session = Session::new();
    let directory = session.directory().path().join("man1");
    let path = directory.to_str().expect("plain");
    let (status, stdout, stderr) = session.run(&["man", path]);
    assert_eq!((status, stdout.as_str()), (0, ""), "{stderr}");
    let page = std::fs::read_to_string(directory.join("meshcast-watch.1")).expect("written");
    assert!(page.contains("meshcast watch earth"), "{page}");
    let (_, first, _) = session.run(&["man"]);
    assert!(first.contains(".TH meshcast 1"), "{first}");
}

#[test]
fn colours_are_where_they_are_wanted() {
    let session = Session::new();
    let escape = '\x1b';
    for (arguments, coloured) in [
        (&["--help"][..], false),
        (&["--help", "--color", "always"], true),
        (&["--color=never", "--help"], false),
        (&["frobnicate", "--color=always"], true),
        (&["nodes", "--color=always"], true),
        (&["nodes"], false),
    ] {
        // The harness sets NO_COLOR; what is asked for comes first.
        let (_, stdout, stderr) = session.run(arguments);
        let has = stdout.contains(escape) || stderr.contains(escape);
        assert_eq!(has, coloured, "{arguments:?}: {stdout}{stderr}");
    }
    assert_eq!(session.run(&["nodes", "--color", "pink"]).0, 2);
}

#[test]
fn at_a_terminal_there_are_colours_unless_they_are_not_wanted() {
    let session = Session::new();
    for (variable, coloured) in [("", true), ("1", false)] {
        let mut command = session.command(&["nodes"]);
        command.env("NO_COLOR", variable);
        let terminal = Terminal::start(command);
        terminal.shows("start some with");
        assert_eq!(terminal.is_coloured(), coloured, "{}", terminal.text());
    }
    let mut command = session.command(&["nodes", "--color", "never"]);
    command.env("NO_COLOR", "");
    let terminal = Terminal::start(command);
    terminal.shows("start some with");
    assert!(!terminal.is_coloured(), "{}", terminal.text());
}
