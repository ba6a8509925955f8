//! A table as data: it is sorted, filtered and fitted into a width without a screen.

use std::cmp::Ordering;

use crate::render::{self, Palette, UNKNOWN};

/// What a table has to show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// What it may take at most, in characters.
    pub(super) width: usize,
    /// It stands to the right, and is sorted with the largest first.
    pub(super) is_number: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What it is about, whatever its place.
    pub(super) key: String,
    pub(super) cells: Vec<Cell>,
    pub(super) tone: Tone,
}

/// How a row looks. It is said in words too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// Nothing of it is known here.
    Quiet,
    Bad,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    /// The value that a number is sorted by; `None` if it is not known.
    number: Option<f64>,
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        let text = if text.is_empty() { UNKNOWN } else { text };
        Self {
            text: render::text(text),
            number: None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "it is only sorted by it")]
    pub(super) fn count(count: impl TryInto<u64>) -> Self {
        let count = count.try_into().unwrap_or(u64::MAX);
        Self {
            text: count.to_string(),
            number: Some(count as f64),
        }
    }

    pub(super) fn rate(rate: Option<f64>) -> Self {
        Self::known(rate, |rate| match rate {
            rate if rate < 10.0 => format!("{rate:.1}"),
            rate if rate < 100_000.0 => format!("{rate:.0}"),
            rate => format!("{:.0}k", rate / 1_000.0),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "it is only sorted by it")]
    pub(super) fn bytes(bytes: usize) -> Self {
        Self {
            text: render::bytes(bytes),
            number: Some(bytes as f64),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "it is only sorted by it")]
    pub(super) fn rtt(micros: Option<u64>) -> Self {
        Self {
            text: render::rtt(micros),
            number: micros.map(|micros| micros as f64),
        }
    }

    pub(super) fn known(number: Option<f64>, text: impl FnOnce(f64) -> String) -> Self {
        Self {
            text: number.map_or_else(|| UNKNOWN.into(), text),
            number,
        }
    }

    pub(super) fn unknown() -> Self {
        Self::known(None, |_| String::new())
    }
}

impl Grid {
    pub(super) const fn new(columns: &'static [Column]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, key: &str, tone: Tone, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(Row {
            key: key.to_owned(),
            cells: cells.into_iter().collect(),
            tone,
        });
    }

    /// Those rows that have this text somewhere, in whatever case.
    pub(super) fn filtered(mut self, filter: &str) -> Self {
        let filter = filter.to_lowercase();
        let has = |cell: &Cell| cell.text.to_lowercase().contains(&filter);
        self.rows.retain(|row| row.cells.iter().any(has));
        self
    }

    /// By a column: text from A on, numbers with the largest first, or the other way round. Numbers
    /// that are not known come last, and equal rows stay in the order they have.
    pub(super) fn sorted(mut self, column: usize, reverse: bool) -> Self {
        let is_number = self.columns.get(column).is_some_and(|it| it.is_number);
        self.rows.sort_by(|a, b| {
            let (Some(a), Some(b)) = (a.cells.get(column), b.cells.get(column)) else {
                return Ordering::Equal;
            };
            let direction = |order: Ordering| if reverse { order.reverse() } else { order };
            match (is_number, a.number, b.number) {
                (false, ..) => direction(a.text.cmp(&b.text)),
                (true, Some(a), Some(b)) => direction(b.total_cmp(&a)),
                (true, a, b) => b.is_some().cmp(&a.is_some()),
            }
        });
        self
    }

    /// The width of each column, of as many as there is room for, with a space between two.
    pub(super) fn widths(&self, room: usize) -> Vec<usize> {
        let mut widths = Vec::new();
        let mut taken = 0;
        for (i, column) in self.columns.iter().enumerate() {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(i));
            let widest = cells.map(|cell| cell.text.chars().count()).max();
            let wanted = widest.unwrap_or(0).min(column.width);
            // There may be an arrow behind it.
            let width = wanted.max(column.title.chars().count() + 1);
            let space = usize::from(i > 0);
            if taken + space + width > room && i > 0 {
                break;
            }
            taken += space + width;
            widths.push(width.min(room));
        }
        widths
    }

    /// As text, in full.
    pub(super) fn render(&self, palette: Palette) -> String {
        let titles: Vec<String> = self
            .columns
            .iter()
            .map(|column| match column.is_number {
                true => format!(">{}", column.title),
                false => column.title.to_owned(),
            })
            .collect();
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        let mut table = render::Table::new(&titles);
        for row in &self.rows {
            table.row(row.cells.iter().map(|cell| cell.text.clone()));
        }
        table.render(palette)
    }
}

/// The part of a text that there is room for, with a sign if there is more.
pub(super) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(width.saturating_sub(1)).collect();
            kept + "…"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column {
            title: "NAME",
            width: 8,
            is_number: false,
        },
        Column {
            title: "RTT",
            width: 10,
            is_number: true,
        },
    ];

    fn grid() -> Grid {
        let mut grid = Grid::new(COLUMNS);
        for (name, rtt) in [
            ("nrt-1", Some(2)),
            ("fra-1", None),
            ("a-long-name", Some(30_000)),
        ] {
            grid.row(name, Tone::Plain, [Cell::text(name), Cell::rtt(rtt)]);
        }
        grid
    }

    fn keys(grid: &Grid) -> Vec<&str> {
        grid.rows.iter().map(|row| row.key.as_str()).collect()
    }

    #[test]
    fn text_is_sorted_from_a_and_numbers_from_the_largest_with_the_unknown_last() {
        for (column, reverse, order) in [
            (0, false, ["a-long-name", "fra-1", "nrt-1"]),
            (0, true, ["nrt-1", "fra-1", "a-long-name"]),
            (1, false, ["a-long-name", "nrt-1", "fra-1"]),
            (1, true, ["nrt-1", "a-long-name", "fra-1"]),
            (7, false, ["nrt-1", "fra-1", "a-long-name"]),
        ] {
            let sorted = grid().sorted(column, reverse);
            assert_eq!(keys(&sorted), order, "{column} {reverse}");
        }
    }

    #[test]
    fn a_filter_looks_at_every_cell_in_any_case() {
        assert_eq!(keys(&grid().filtered("FRA")), ["fra-1"]);
        assert_eq!(keys(&grid().filtered("30.0 ms")), ["a-long-name"]);
        assert_eq!(keys(&grid().filtered("")).len(), 3);
        assert!(keys(&grid().filtered("moon")).is_empty());
    }

    #[test]
    fn columns_that_have_no_room_are_left_out() {
        assert_eq!(grid().widths(80), [8, 7]);
        assert_eq!(grid().widths(16), [8, 7]);
        assert_eq!(grid().widths(15), [8]);
        assert_eq!(grid().widths(3), [3]);
        assert_eq!(cut("a-long-name", 8), "a-long-…");
        assert_eq!(cut("fra-1", 5), "fra-1");
    }

    #[test]
    fn what_others_called_themselves_does_not_steer_the_terminal() {
        assert_eq!(Cell::text("a\x1b[2J").text, "a\\u{1b}[2J");
        assert_eq!(Cell::text("").text, "-");
    }

    #[test]
    fn rates_are_short() {
        let text = |rate| Cell::rate(rate).text;
        assert_eq!(text(None), "-");
        assert_eq!(text(Some(0.25)), "0.2");
        assert_eq!(text(Some(1234.5)), "1234");
        assert_eq!(text(Some(1_234_567.0)), "1235k");
    }
}
