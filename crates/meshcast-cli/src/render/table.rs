//! Tables and colours.

use std::{env, ffi::OsString};

use clap::{ColorChoice, ValueEnum};

/// Rows under a header, aligned with spaces.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// Whether a column holds numbers, which stand to the right.
    right: Vec<bool>,
}

impl Table {
    /// A column whose title begins with `>` stands to the right.
    pub(crate) fn new(header: &[&str]) -> Self {
        Self {
            right: header.iter().map(|title| title.starts_with('>')).collect(),
            rows: vec![
                header
                    .iter()
                    .map(|title| title.trim_start_matches('>').to_owned())
                    .collect(),
            ],
        }
    }

    pub(crate) fn row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    pub(crate) fn render(&self, palette: Palette) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut out = String::new();
        for (i, row) in self.rows.iter().enumerate() {
            let cells = row
                .iter()
                .zip(&widths)
                .zip(&self.right)
                .map(|((cell, &width), right)| {
                    if *right {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                });
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            out += &if i == 0 {
                palette.quiet(line)
            } else {
                line.to_owned()
            };
            out.push('\n');
        }
        out
    }
}

/// Whether there are colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal that has them, and unless NO_COLOR is set
    #[default]
    Auto,
    /// Also where it is no terminal, and though NO_COLOR is set
    Always,
    /// Nowhere
    Never,
}

impl Colour {
    /// The colour choice of a command line before it is parsed: the help and its errors have
    /// colours too.
    pub(crate) fn asked(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut arguments = arguments.into_iter().take_while(|it| it != "--");
        while let Some(argument) = arguments.next() {
            let Some(argument) = argument.to_str() else {
                continue;
            };
            let when = match argument.strip_prefix("--color") {
                Some("") => arguments.next().and_then(|it| it.into_string().ok()),
                Some(when) => when.strip_prefix('=').map(ToOwned::to_owned),
                None => None,
            };
            if let Some(Ok(when)) = when.map(|when| Self::from_str(&when, false)) {
                return when;
            }
        }
        Self::Auto
    }
}

impl From<Colour> for ColorChoice {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Auto => Self::Auto,
            Colour::Always => Self::Always,
            Colour::Never => Self::Never,
        }
    }
}

/// Colours, or none. Nothing is told by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Palette {
    colour: bool,
}

impl Palette {
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colour: false };

    /// For what is, or is not, a terminal.
    pub(crate) fn new(colour: Colour, terminal: bool) -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: match colour {
                Colour::Auto => terminal && !refused && !dumb,
                Colour::Always => true,
                Colour::Never => false,
            },
        }
    }

    pub(crate) const fn has_colour(self) -> bool {
        self.colour
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn quiet(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_without_trailing_spaces() {
        let mut table = Table::new(&["NAME", ">RTT", "ADDRESS"]);
        table.row(["fra-1".into(), "0.31 ms".into(), "a".into()]);
        table.row(["a-longer-one".into(), "-".into(), "".into()]);
        assert_eq!(
            table.render(Palette::PLAIN),
            "NAME              RTT  ADDRESS\n\
             fra-1         0.31 ms  a\n\
             a-longer-one        -\n"
        );
    }

    #[test]
    fn colours_are_known_before_the_command_line_is_understood() {
        for (line, colour) in [
            ("meshcast nodes", Colour::Auto),
            ("meshcast --color never nodes", Colour::Never),
            ("meshcast nodes --color=always --help", Colour::Always),
            ("meshcast post a -- --color=always", Colour::Auto),
            ("meshcast --color", Colour::Auto),
            ("meshcast --color=pink --colors=never", Colour::Auto),
        ] {
            let words = line.split(' ').map(OsString::from);
            assert_eq!(Colour::asked(words), colour, "{line}");
        }
        assert!(Palette::new(Colour::Always, false).has_colour());
        assert!(!Palette::new(Colour::Never, true).has_colour());
        assert!(!Palette::new(Colour::Auto, false).has_colour());
    }

    #[test]
    fn only_the_header_of_a_table_is_coloured() {
        let mut table = Table::new(&["NAME"]);
        table.row(["x".into()]);
        assert_eq!(
            table.render(Palette { colour: true }),
            "\x1b[2mNAME\x1b[0m\nx\n"
        );
    }
}
