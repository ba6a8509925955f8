use std::time::Duration;

use clap::{CommandFactory, error::ErrorKind};
use meshcast::Region;

use super::{numbers::duration, *};

fn parse(line: &str) -> Result<Command, ErrorKind> {
    let words = line
        .split_whitespace()
        .map(|word| if word == "''" { "" } else { word });
    Args::try_parse_from(words)
        .map(|args| args.command)
        .map_err(|error| error.kind())
}

#[test]
fn the_command_line_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn up_has_three_regions_unless_told_otherwise() {
    let Ok(Command::Up(up)) = parse("meshcast up") else {
        panic!("does not parse")
    };
    let regions: Vec<_> = up.regions.iter().map(Region::as_str).collect();
    assert_eq!(
        (regions, up.nodes_per_region, up.http_base),
        (vec!["fra", "iad", "nrt"], 1, 8101)
    );
}

#[test]
fn what_cannot_be_run_does_not_parse() {
    for line in [
        "meshcast up --regions fra,-",
        "meshcast up --regions fra,,iad",
        "meshcast up --nodes-per-region 0",
        "meshcast up --http-base 65536",
        "meshcast watch earth --count 0",
        "meshcast watch earth --last 0",
        "meshcast watch earth --timeout 5x",
        "meshcast node --listen nowhere",
        "meshcast node --name a/b",
        "meshcast node --no-admin --socket x",
        "meshcast peers --node a --socket b",
        "meshcast ping",
        "meshcast ping fra-1 --all",
        "meshcast post earth x --raw --json",
        "meshcast post earth",
        "meshcast post earth x --lines",
        "meshcast post earth x --timeout 5s",
        "meshcast peers --timeout 5s",
        "meshcast key",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn what_is_no_address_is_refused_with_one_that_is() {
    for line in [
        "meshcast node --seed host",
        "meshcast node --listen 127.0.0.1",
    ] {
        let error = Args::try_parse_from(line.split(' '))
            .expect_err(line)
            .to_string();
        assert!(
            error.contains("write host:port or /dns/host/tcp/port"),
            "{error}"
        );
    }
    for address in ["host:4001", "127.0.0.1:4001", "/dns/name/tcp/4001"] {
        let line = format!("meshcast node --seed {address} --listen {address}");
        assert!(parse(&line).is_ok(), "{line}");
    }
}

#[test]
fn a_key_is_no_argument() {
    for command in Args::command().get_subcommands() {
        assert!(
            command
                .get_arguments()
                .all(|argument| argument.get_id() != "key"),
            "{command}"
        );
    }
    assert_eq!(
        parse("meshcast node --key secret").err(),
        Some(ErrorKind::UnknownArgument)
    );
}

#[test]
fn the_empty_channel_and_negative_numbers_can_be_posted() {
    let Ok(Command::Post(post)) = parse("meshcast post '' -5") else {
        panic!("does not parse")
    };
    assert_eq!(
        (post.channel.as_str(), post.value.as_deref()),
        ("", Some("-5"))
    );
    let Ok(Command::Post(post)) = parse("meshcast post earth -") else {
        panic!("does not parse")
    };
    assert_eq!(post.value.as_deref(), Some("-"));
    let Ok(Command::Post(post)) = parse("meshcast post earth --json -- --json") else {
        panic!("does not parse")
    };
    assert_eq!(post.value.as_deref(), Some("--json"));
}

#[test]
fn times_have_units() {
    assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
    assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
    assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
    for nonsense in ["", "s", "-1", "1d", "1e400", "9999999999999999999999h"] {
        assert!(duration(nonsense).is_err(), "{nonsense}");
    }
}

/// The help of the command and of each of its subcommands, as on a terminal of eighty columns.
fn helps() -> Vec<String> {
    let mut command = Args::command().term_width(80);
    command.build();
    let subcommands = command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
        .cloned();
    let mut commands: Vec<_> = subcommands.collect();
    commands.insert(0, command);
    commands
        .iter_mut()
        .map(|command| command.render_long_help().to_string())
        .collect()
}

#[test]
fn help_begins_with_examples() {
    for help in helps() {
        let place = |text: &str| {
            help.find(text)
                .unwrap_or_else(|| panic!("no {text:?} in\n{help}"))
        };
        assert!(place("Examples:") < place("Usage:"), "{help}");
    }
}

/// As in a comment of the source, which takes none.
#[test]
fn help_shows_no_escapes() {
    let mut all = Args::command();
    all.build();
    for command in all
        .get_subcommands()
        .flat_map(|it| it.get_subcommands().chain([it]))
    {
        let help = command.clone().render_long_help().to_string();
        assert!(!help.contains(r#"\""#), "{help}");
    }
}

#[test]
fn help_of_up_tells_of_the_page() {
    let helps = helps();
    let up = helps
        .iter()
        .find(|help| help.contains("Usage: meshcast up"));
    assert!(up.is_some_and(|help| help.contains("A page shows the nodes")));
}

#[test]
fn help_ends_with_exit_codes() {
    let help = &helps()[0];
    assert!(help.find("Usage:") < help.find("Exit status:"), "{help}");
}

#[test]
fn help_fits_eighty_columns() {
    for help in helps() {
        assert!(
            help.lines().all(|line| line.chars().count() <= 80),
            "{help}"
        );
    }
}
