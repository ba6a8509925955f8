//! The results as tables for people and as JSON for programs.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::{
    conditions::Conditions,
    goals,
    results::{Figure, Results, Summary},
    system::System,
};

/// One table for each case, in Markdown.
pub(crate) fn markdown(conditions: &Conditions, results: &Results, baseline: System) -> String {
    let mut text = format!("`{}`\n\n", conditions.command);
    // Writing to a string does not fail.
    _ = writeln!(
        text,
        "{} × {} ({}), {} MiB, Linux {}, load average {} before; source {}. {}{}.",
        conditions.cores,
        conditions.cpu,
        conditions.cpu_has.join(", "),
        conditions.memory_mib,
        conditions.kernel,
        conditions.load_average,
        conditions.source.as_deref().unwrap_or("unknown"),
        conditions.crates.join(", "),
        conditions
            .brokers
            .iter()
            .fold(String::new(), |all, one| all + ", " + one),
    );
    _ = writeln!(
        text,
        "\nMedians; in parentheses the ratio to {} in the same repetition.",
        baseline.name()
    );
    for (system, reason) in &conditions.skipped {
        _ = writeln!(text, "\n{} was skipped: {reason}.", system.name());
    }
    if conditions.interrupted {
        text += "\n**Interrupted: not everything was measured.**\n";
    }
    let goals = goals::rows(results);
    if !goals.is_empty() {
        text += "\n### meshcast and its goals\n\n| what | as a user runs it | tuned | goal | better still | reached |\n|---|--:|--:|--:|--:|---|\n";
        for row in goals {
            _ = writeln!(text, "| {} |", row.join(" | "));
        }
    }
    for case in results.cases() {
        _ = writeln!(text, "\n### {case}\n");
        table(&mut text, &results.summaries(case, baseline));
    }
    text
}

/// The conditions and every single record.
pub(crate) fn json(conditions: &Conditions, results: &Results) -> Result<String> {
    #[derive(Serialize)]
    struct All<'a> {
        conditions: &'a Conditions,
        records: &'a Results,
    }
    let all = All {
        conditions,
        records: results,
    };
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

/// For people: three significant digits or all of them, and thousands kept apart.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let plain = format!("{value:.digits$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.char_indices() {
        let left = whole.len() - index;
        if index > 0 && left.is_multiple_of(3) && digit.is_ascii_digit() && !grouped.ends_with('-')
        {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn table(text: &mut String, summaries: &[Summary]) {
    let mut columns: Vec<Figure> = Vec::new();
    for (figure, ..) in summaries.iter().flat_map(|summary| &summary.figures) {
        if !columns.contains(figure) {
            columns.push(*figure);
        }
    }
    let titles = columns
        .iter()
        .fold(String::new(), |all, one| all + " " + one.title + " |");
    _ = writeln!(text, "| system |{titles}");
    _ = writeln!(text, "|---|{}", "--:|".repeat(columns.len()));
    for summary in summaries {
        let cells = columns.iter().fold(String::new(), |all, column| {
            let found = summary.figures.iter().find(|(figure, ..)| figure == column);
            let cell = match found {
                Some((_, value, Some(ratio))) => {
                    format!("{} ({}×)", number(*value), number(*ratio))
                }
                Some((_, value, None)) => number(*value),
                None => String::new(),
            };
            all + " " + &cell + " |"
        });
        _ = writeln!(text, "| {} |{cells}", summary.system.name());
    }
    for summary in summaries {
        for reason in &summary.failures {
            _ = writeln!(text, "\n{} failed: {reason}.", summary.system.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_they_deserve() {
        let cases = [
            (0.0, "0"),
            (0.0349, "0.035"),
            (1.234, "1.23"),
            (42.0, "42.0"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-123.0, "-123"),
            (-123_456.0, "-123,456"),
        ];
        for (value, wanted) in cases {
            assert_eq!(number(value), wanted);
        }
    }
}
