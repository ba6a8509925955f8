//! `meshcast config`

use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use meshcast::config::{Config, EnvError, InvalidValue};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{
    args::TEMPLATE,
    exit::{Exit, Failure},
    output::Output,
    render::{self, Palette, Table, UNKNOWN},
};

/// Look at the settings of a node
#[derive(Debug, Subcommand)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast config check
  meshcast config check mesh.toml --json")]
pub(crate) enum ConfigCommand {
    /// Show each setting and where it comes from, and whether a node could start with them
    ///
    /// A setting is a line of a TOML file (`seeds = ["a.example:4001"]`, limits in a table
    /// `[limits]`) or a variable of the environment (MESHCAST_SEEDS), which comes first. Settings
    /// of a command or a program come before both.
    Check {
        /// The file; without one only the environment is looked at
        file: Option<PathBuf>,
    },
}

pub(crate) fn run(command: ConfigCommand, output: &Output) -> Result<Exit, Failure> {
    let ConfigCommand::Check { file } = command;
    let written = file.as_deref().map(read::<Json>).transpose()?;
    let config = settings(file.as_deref())?;
    // Of one that is no Unicode as well: it may be meant.
    let names = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    if let Some(wrong) = unknown(names) {
        return Err(Failure::usage(wrong));
    }
    let report = report(&config, written.as_ref().zip(file.as_ref()))?;
    output.result(&report, || table(&report, output.palette()))?;
    config.check().map_err(Failure::usage)?;
    Ok(Exit::Ok)
}

/// The content of the file, if there is one, and before it the environment.
pub(crate) fn settings(file: Option<&Path>) -> Result<Config, Failure> {
    let mut config: Config = file.map(read).transpose()?.unwrap_or_default();
    config
        .read_env(|name| env::var_os(name))
        .map_err(Failure::usage)?;
    Ok(config)
}

/// Settings, or the file as it is written to tell which of them it has.
fn read<T: DeserializeOwned>(file: &Path) -> Result<T, Failure> {
    let text = text(file)?;
    toml::from_str(&text).map_err(|error| refused(file, &text, &error))
}

fn refused(file: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let at = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    Failure::usage(format!(
        "{}, line {line}: {}",
        file.display(),
        error.message()
    ))
}

fn text(file: &Path) -> Result<String, Failure> {
    let what = || format!("read {}", file.display());
    let opened = fs::File::open(file).map_err(Failure::io(what()))?;
    let mut text = String::new();
    let read = opened.take(LONGEST + 1).read_to_string(&mut text);
    if read.map_err(Failure::io(what()))? as u64 > LONGEST {
        let longer = format!("{}: longer than {LONGEST} bytes", file.display());
        return Err(Failure::usage(longer));
    }
    Ok(text)
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    settings: Vec<Setting>,
}

#[derive(Serialize)]
struct Setting {
    name: String,
    /// `null`: nothing was said, and the node finds something itself.
    value: Json,
    origin: Origin,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    Environment(&'static str),
    File(PathBuf),
    Default,
}

fn report(config: &Config, written: Option<(&Json, &PathBuf)>) -> Result<Report, Failure> {
    let config = serde_json::to_value(config).map_err(Failure::failed)?;
    let is_set = |variable: &str| env::var_os(variable).is_some_and(|text| !text.is_empty());
    let mut settings: Vec<_> = Config::variables()
        .map(|(variable, name)| {
            let path = format!("/{}", name.replace('.', "/"));
            let mut value = config.pointer(&path).cloned().unwrap_or_default();
            let file = written.filter(|(written, _)| written.pointer(&path).is_some());
            let mut origin = if is_set(variable) {
                Origin::Environment(variable)
            // A setting of the file may count for nothing, as its key does beside one in the
            // environment.
            } else if let Some((_, file)) = file.filter(|_| !value.is_null()) {
                Origin::File(file.clone())
            } else {
                Origin::Default
            };
            if name == "region"
                && value.is_null()
                && let Some(variable) = Config::region_variables().find(|it| is_set(it))
            {
                let text = env::var_os(variable).unwrap_or_default().into_string();
                value = text.map_err(|_| not_unicode(variable))?.into();
                origin = Origin::Environment(variable);
            }
            Ok(Setting {
                name,
                value,
                origin,
            })
        })
        .collect::<Result<_, Failure>>()?;
    if is_set(KEY) {
        let value = "(secret)".into();
        let (name, origin) = ("key".to_owned(), Origin::Environment(KEY));
        settings.insert(
            0,
            Setting {
                name,
                value,
                origin,
            },
        );
    }
    Ok(Report {
        schema: "config/v1",
        settings,
    })
}

fn not_unicode(variable: &'static str) -> Failure {
    let reason = InvalidValue::NotUnicode;
    Failure::usage(EnvError { variable, reason })
}

/// The error in the first variable that looks like a setting and is none, if there is one.
fn unknown(names: impl Iterator<Item = String>) -> Option<String> {
    let known: Vec<_> = Config::variables()
        .map(|(variable, _)| variable)
        .chain([KEY, "MESHCAST_LOG", "MESHCAST_NODE", "MESHCAST_COMPLETE"])
        .collect();
    let ours = names.filter(|name| name.starts_with("MESHCAST_"));
    let mut wrong: Vec<_> = ours
        .filter(|name| !name.starts_with("MESHCAST_TEST_") && !known.contains(&name.as_str()))
        .collect();
    wrong.sort_unstable();
    let name = wrong.first()?;
    let near = known
        .iter()
        .filter(|it| it.starts_with(name.as_str()) || name.starts_with(**it));
    let meant = near.max_by_key(|it| it.len());
    let meant = meant.map_or(String::new(), |it| format!("; {it} is one"));
    Some(format!("{} is no setting{meant}", render::text(name)))
}

fn table(report: &Report, palette: Palette) -> String {
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for setting in &report.settings {
        let value = match &setting.value {
            Json::Null => UNKNOWN.to_owned(),
            Json::String(text) => render::text(text),
            Json::Array(items) if items.is_empty() => UNKNOWN.to_owned(),
            Json::Array(items) => {
                let items = items.iter().map(|item| item.as_str().unwrap_or(UNKNOWN));
                render::text(&items.collect::<Vec<_>>().join(", "))
            }
            other => other.to_string(),
        };
        let origin = match &setting.origin {
            Origin::Environment(variable) => (*variable).to_owned(),
            Origin::File(file) => render::text(&file.display().to_string()),
            Origin::Default => "default".to_owned(),
        };
        table.row([setting.name.clone(), value, origin]);
    }
    table.render(palette)
}

const KEY: &str = "MESHCAST_KEY";

/// Settings take some hundred bytes; a file that is longer is another one.
const LONGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("mesh.toml");
        fs::write(&file, text).expect("it is written");
        let failure = read::<Config>(&file).expect_err(text);
        failure
            .message
            .replace(&*file.to_string_lossy(), "mesh.toml")
    }

    #[test]
    fn what_a_file_must_not_say_is_named_with_its_line() {
        let unknown = refusal("region = \"fra\"\nseed = []\n");
        assert!(
            unknown.starts_with("mesh.toml, line 2: unknown field `seed`"),
            "{unknown}"
        );
        let address = refusal("seeds = [\"a.example\"]");
        assert!(
            address.starts_with("mesh.toml, line 1: \"a.example\" is no address"),
            "{address}"
        );
        let longest = "#".repeat(1 << 20);
        assert!(refusal(&format!("{longest}#")).contains("longer than"));
    }

    #[test]
    fn a_variable_that_is_no_setting_is_named_with_the_one_that_was_meant() {
        let of = |names: &[&str]| unknown(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(
            of(&["PATH", "MESHCAST_SEEDS", "MESHCAST_KEY", "MESHCAST_LOG"]),
            None
        );
        assert_eq!(
            of(&["MESHCAST_SEED"]).as_deref(),
            Some("MESHCAST_SEED is no setting; MESHCAST_SEEDS is one")
        );
        assert_eq!(
            of(&["MESHCAST_KEYFILE"]).as_deref(),
            Some("MESHCAST_KEYFILE is no setting; MESHCAST_KEY is one")
        );
        assert_eq!(
            of(&["MESHCAST_COLOUR"]).as_deref(),
            Some("MESHCAST_COLOUR is no setting")
        );
    }

    #[test]
    fn each_setting_is_shown_with_where_it_comes_from() {
        let text = "region = \"fra\"\n[limits]\nmax_peers = 8\n";
        let (config, written): (Config, Json) = (
            toml::from_str(text).expect("fine"),
            toml::from_str(text).expect("fine"),
        );
        let file = PathBuf::from("mesh.toml");
        let report = report(&config, Some((&written, &file))).expect("it is written");
        let shown = table(&report, Palette::PLAIN);
        let from = |name: &str| {
            let line = shown
                .lines()
                .find(|line| line.starts_with(name))
                .expect(name);
            line.split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(from("region"), "fra mesh.toml");
        assert_eq!(from("limits.max_peers"), "8 mesh.toml");
        assert_eq!(from("limits.history_age"), "10m default");
        assert_eq!(from("dial_members"), "true default");
    }
}
