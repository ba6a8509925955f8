//! `meshcast man`: its pages for `man`, for whoever packages it.

use std::{fs, path::PathBuf};

use clap::{Args as ClapArgs, CommandFactory};

use crate::{
    args::{Args, TEMPLATE},
    exit::{Exit, Failure},
    output::Output,
};

/// Write the manual pages
///
/// Into a directory, one for each command: meshcast.1, meshcast-watch.1, meshcast-sim-run.1.
/// Without one, the first of them to stdout.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast man | man -l -
  meshcast man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// The directory
    pub(crate) directory: Option<PathBuf>,
}

pub(crate) fn run(args: Man, output: &Output) -> Result<Exit, Failure> {
    let mut pages = pages().map_err(Failure::io("write a page"))?;
    let Some(directory) = args.directory else {
        let (_, first) = pages.swap_remove(0);
        output.raw(&String::from_utf8_lossy(&first))?;
        return Ok(Exit::Ok);
    };
    fs::create_dir_all(&directory).map_err(Failure::io(format!("make {}", directory.display())))?;
    for (name, page) in pages {
        let path = directory.join(name);
        fs::write(&path, page).map_err(Failure::io(format!("write {}", path.display())))?;
    }
    Ok(Exit::Ok)
}

/// Names and pages; the first is that of the command itself.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = with_examples(Args::command()).disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    page(&command, "meshcast", &mut pages)?;
    Ok(pages)
}

fn page(
    command: &clap::Command,
    name: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> std::io::Result<()> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.title(name).render(&mut page)?;
    let page = with_headings(&String::from_utf8_lossy(&page)).into_bytes();
    pages.push((format!("{name}.1"), page));
    for command in command.get_subcommands() {
        if !command.is_hide_set() {
            self::page(command, &format!("{name}-{}", command.get_name()), pages)?;
        }
    }
    Ok(())
}

/// The text that clap puts under the heading EXTRA gets the headings that pages have: a line that
/// is not set in has one before its colon.
fn with_headings(page: &str) -> String {
    let Some((before, extra)) = page.split_once(".SH EXTRA\n") else {
        return page.to_owned();
    };
    let (extra, after) = match extra.find(".SH ") {
        Some(at) => extra.split_at(at),
        None => (extra, ""),
    };
    let mut out = before.to_owned();
    let mut is_listed = false;
    let mut list = |out: &mut String, listed: bool| {
        if is_listed != listed {
            *out += if listed { ".nf\n" } else { ".fi\n" };
            is_listed = listed;
        }
    };
    for line in extra.lines().filter(|line| !line.is_empty()) {
        let listed = line.strip_prefix("  ");
        let heading = listed.is_none().then(|| line.split_once(':')).flatten();
        list(&mut out, listed.is_some());
        let text = match (listed, heading) {
            (Some(listed), _) => listed,
            (None, Some((heading, text))) => {
                out += &format!(".SH {}\n", heading.to_uppercase());
                text.trim_start()
            }
            (None, None) if line.starts_with("Results ") => {
                out += ".SH OUTPUT\n";
                line
            }
            (None, None) => line,
        };
        if !text.is_empty() {
            out += &format!("{text}\n");
        }
    }
    list(&mut out, false);
    out + after
}

/// Examples are at the end of a page, where people look for them.
fn with_examples(command: clap::Command) -> clap::Command {
    let texts = [command.get_before_help(), command.get_after_help()];
    let texts: Vec<_> = texts
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let command = match texts.is_empty() {
        true => command,
        false => command.after_help(texts.join("\n\n")),
    };
    command.mut_subcommands(with_examples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_its_options_and_examples() {
        let pages = pages().expect("a vector takes anything");
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "meshcast.1");
        for name in [
            "meshcast-watch.1",
            "meshcast-sim-run.1",
            "meshcast-fault-heal.1",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(!names.contains(&"meshcast-man.1"), "it is for packagers");
        let page = |wanted: &str| {
            let (_, page) = pages.iter().find(|(name, _)| name == wanted).expect(wanted);
            String::from_utf8(page.clone()).expect("text")
        };
        let watch = page("meshcast-watch.1");
        for text in [
            ".TH meshcast-watch 1",
            "\\-\\-since",
            "meshcast watch earth \\-\\-last 20",
        ] {
            assert!(watch.contains(text), "{text}: {watch}");
        }
        let of_all = page("meshcast.1");
        for text in [
            ".SH EXAMPLES\n.nf\nmeshcast up ",
            ".fi\n.SH EXIT STATUS\n.nf\n0  done ",
            ".SH OUTPUT\nResults go to stdout",
            ".SH ENVIRONMENT\nMESHCAST_KEY (",
        ] {
            assert!(of_all.contains(text), "{text}: {of_all}");
        }
        for (name, page) in &pages {
            let page = String::from_utf8_lossy(page);
            assert!(!page.contains("EXTRA"), "{name}: {page}");
            assert_eq!(
                page.matches("\n.nf\n").count(),
                page.matches("\n.fi\n").count(),
                "{name}: {page}"
            );
        }
    }
}
