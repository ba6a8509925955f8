//! What is on the screen.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Sparkline},
};

use super::{
    super::sampler::Sampled,
    grid::{Grid, Row, Tone, cut},
    model::Model,
    tables::{Tab, details},
};

/// Draws all of it. Nothing is told by colour alone.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, seen: &Sampled, has_colour: bool) {
    let pen = Pen { has_colour };
    let [head, rates, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(totals(seen, pen), head);
    sparkline(frame, model, pen, rates);
    frame.render_widget(tab_line(model, pen), tabs);
    match &model.open {
        Some(key) => inside(frame, key.clone(), model, seen, pen, body),
        None => outside(frame, model, seen, pen, body),
    }
    frame.render_widget(keys(model, pen), foot);
    if model.shows_help {
        help(frame, pen);
    }
}

/// Which styles there are.
#[derive(Debug, Clone, Copy)]
struct Pen {
    has_colour: bool,
}

impl Pen {
    fn colour(self, colour: Color) -> Style {
        match self.has_colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Quiet => Style::new().add_modifier(Modifier::DIM),
            Tone::Bad => self.colour(Color::Red),
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

fn totals(seen: &Sampled, pen: Pen) -> Line<'static> {
    let totals = &seen.view.totals;
    let mut line = Line::from(Span::styled("meshcast ", BOLD));
    if seen.number == 0 {
        line.push_span("asking the nodes of this machine …");
        return line;
    }
    if totals.members == 0 {
        line.push_span("no node is running here yet: start some with `meshcast up`");
        return line;
    }
    let down = totals.members - totals.up;
    line.push_span(counted(totals.members, "member"));
    if down > 0 {
        let down = format!(", ! {down} down");
        line.push_span(Span::styled(down, pen.tone(Tone::Bad)));
    }
    line.push_span(format!(
        " · {} · {} · {} posts/s · {} received/s",
        counted(totals.links, "link"),
        counted(totals.channels, "channel"),
        rate(totals.posted_per_s),
        rate(totals.delivered_per_s),
    ));
    if totals.missed > 0 {
        let missed = format!(" · ! {} missed", totals.missed);
        line.push_span(Span::styled(missed, pen.tone(Tone::Bad)));
    }
    line
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

fn rate(rate: f64) -> String {
    super::grid::Cell::rate(Some(rate)).text
}

/// Deliveries a second, the newest at the right.
fn sparkline(frame: &mut Frame<'_>, model: &Model, pen: Pen, area: Rect) {
    let most = model.rates.iter().copied().max().unwrap_or(0);
    let label = format!("received/s, up to {most} ");
    let width = u16::try_from(label.chars().count()).unwrap_or(u16::MAX);
    let [left, right] =
        Layout::horizontal([Constraint::Length(width), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::styled(label, QUIET), left);
    let room = usize::from(right.width);
    let skipped = model.rates.len().saturating_sub(room);
    let missing = room.saturating_sub(model.rates.len());
    let rates = model.rates.iter().skip(skipped).copied();
    let data: Vec<u64> = std::iter::repeat_n(0, missing).chain(rates).collect();
    let line = Sparkline::default()
        .data(data)
        .style(pen.colour(Color::Cyan));
    frame.render_widget(line, right);
}

fn tab_line(model: &Model, pen: Pen) -> Line<'static> {
    let mut line = Line::default();
    for (i, tab) in Tab::ALL.into_iter().enumerate() {
        let title = format!(" {} {} ", i + 1, tab.title());
        let style = match tab == model.tab {
            true => CHOSEN,
            false => Style::new(),
        };
        line.push_span(Span::styled(title, style));
        line.push_span(" ");
    }
    if model.is_typing || !model.filter.is_empty() {
        let cursor = if model.is_typing { "▏" } else { "" };
        let filter = format!("  /{}{cursor}", crate::render::text(&model.filter));
        line.push_span(Span::styled(filter, pen.colour(Color::Yellow)));
    }
    if model.is_paused {
        line.push_span(Span::styled("  paused", pen.colour(Color::Yellow)));
    }
    line
}

fn outside(frame: &mut Frame<'_>, model: &mut Model, seen: &Sampled, pen: Pen, area: Rect) {
    let grid = model.table(&seen.view);
    let (sorted, is_reversed) = model.sorting();
    let widths = grid.widths(usize::from(area.width));
    let height = usize::from(area.height).saturating_sub(1);
    let above = model.above(&grid.rows, height);
    let selected = model.selected(&grid.rows);
    let mut lines = vec![header(&grid, &widths, Some((sorted, is_reversed)))];
    for (i, row) in grid.rows.iter().enumerate().skip(above).take(height) {
        let text = cells(&grid, row, &widths);
        let style = match i == selected {
            // To the edge, so that it is seen as a whole.
            true => pen.tone(row.tone).patch(CHOSEN),
            false => pen.tone(row.tone),
        };
        let width = usize::from(area.width);
        lines.push(Line::styled(format!("{text:<width$}"), style));
    }
    if grid.rows.is_empty() && seen.number > 0 && !model.filter.is_empty() {
        lines.push(Line::styled("nothing has this text (Esc)", QUIET));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// What is to be seen of one row.
fn inside(
    frame: &mut Frame<'_>,
    key: String,
    model: &mut Model,
    seen: &Sampled,
    pen: Pen,
    area: Rect,
) {
    let Some((title, tables)) = details(model.tab, &key, &seen.view, &seen.picture) else {
        let gone = format!("{} is gone (Esc)", crate::render::text(&key));
        return frame.render_widget(Paragraph::new(gone), area);
    };
    let mut lines = vec![Line::styled(crate::render::text(&title), BOLD)];
    for (heading, grid) in tables {
        lines.push(Line::default());
        lines.push(Line::styled(heading, BOLD));
        if grid.columns.is_empty() {
            continue;
        }
        let widths = grid.widths(usize::from(area.width));
        lines.push(header(&grid, &widths, None));
        if grid.rows.is_empty() {
            lines.push(Line::styled("none", QUIET));
        }
        for row in &grid.rows {
            lines.push(Line::styled(cells(&grid, row, &widths), pen.tone(row.tone)));
        }
    }
    model.scroll = model
        .scroll
        .min(lines.len().saturating_sub(usize::from(area.height)));
    let shown = lines.into_iter().skip(model.scroll);
    let shown: Vec<_> = shown.take(usize::from(area.height)).collect();
    frame.render_widget(Paragraph::new(shown), area);
}

fn header(grid: &Grid, widths: &[usize], sorted: Option<(usize, bool)>) -> Line<'static> {
    let titles = grid.columns.iter().zip(widths).enumerate();
    let titles = titles.map(|(i, (column, width))| {
        let arrow = match sorted {
            // Down: from A, and from the largest.
            Some((at, false)) if at == i => "▼",
            Some((at, true)) if at == i => "▲",
            _ => "",
        };
        let title = format!("{}{arrow}", column.title);
        aligned(&title, *width, column.is_number)
    });
    let titles: Vec<_> = titles.collect();
    Line::styled(titles.join(" "), QUIET.add_modifier(Modifier::BOLD))
}

fn cells(grid: &Grid, row: &Row, widths: &[usize]) -> String {
    let cells = row.cells.iter().zip(grid.columns).zip(widths);
    let cells = cells.map(|((cell, column), width)| aligned(&cell.text, *width, column.is_number));
    cells.collect::<Vec<_>>().join(" ")
}

fn aligned(text: &str, width: usize, is_number: bool) -> String {
    let text = cut(text, width);
    match is_number {
        true => format!("{text:>width$}"),
        false => format!("{text:<width$}"),
    }
}

fn keys(model: &Model, pen: Pen) -> Line<'static> {
    let keys: &[(&str, &str)] = match (model.is_typing, &model.open) {
        (true, _) => &[("Enter", "keep"), ("Esc", "show all")],
        (false, Some(_)) => &[
            ("Esc", "back"),
            ("↑↓", "scroll"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (false, None) => &[
            ("Tab", "next"),
            ("↑↓", "choose"),
            ("Enter", "open"),
            ("/", "filter"),
            ("<>", "sort"),
            ("r", "reverse"),
            ("?", "help"),
            ("q", "quit"),
        ],
    };
    let mut line = Line::default();
    for (key, what) in keys {
        line.push_span(Span::styled(
            (*key).to_owned(),
            pen.colour(Color::Cyan).patch(BOLD),
        ));
        line.push_span(format!(" {what}  "));
    }
    line
}

fn help(frame: &mut Frame<'_>, pen: Pen) {
    let area = frame.area();
    let width = HELP.iter().map(|line| line.chars().count()).max();
    let width = u16::try_from(width.unwrap_or(0) + 4).unwrap_or(u16::MAX);
    let height = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX);
    let (width, height) = (width.min(area.width), height.min(area.height));
    let area = Rect {
        x: (area.width - width) / 2,
        y: (area.height - height) / 2,
        width,
        height,
    };
    let lines: Vec<_> = HELP
        .iter()
        .map(|line| Line::from(format!(" {line}")))
        .collect();
    let block = Block::bordered()
        .title(" help ")
        .border_style(pen.colour(Color::Cyan));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

const HELP: &[&str] = &[
    "Tab → ←  1 2 3   nodes, links, channels",
    "↑ ↓  j k         choose a row; also PgUp, PgDn, g, G",
    "Enter            look into it; Esc goes back",
    "/                show rows with a text; Esc shows all",
    "< >              sort by the column before, or the next",
    "r                the other way round",
    "p                pause, and go on",
    "q  Ctrl-C        quit",
    "",
    "Nodes are all members that are known; links are who",
    "is connected. Only a node of this machine tells more.",
    "",
    "QUEUE   posted and not sent, delivered and not read",
    "LAG     messages of one sender it has not got yet",
    "MISSED  messages it was told it will not get",
    "DROPS   frames it had no room for",
    "MESH    how many gossip sends to at once",
];

#[cfg(test)]
mod tests {
    use crossterm::event::KeyCode;
    use ratatui::{Terminal, backend::TestBackend};

    use super::{
        super::super::view::{fixture, view},
        *,
    };

    const FLEET: [&str; 4] = ["fra-1", "fra-2", "iad-1", "nrt-1"];

    fn seen() -> Sampled {
        let picture = fixture::broken(&FLEET, &[("fra", "iad"), ("iad", "fra")]);
        Sampled {
            number: 1,
            view: view(None, &picture),
            picture,
            ..Sampled::default()
        }
    }

    fn screen(model: &mut Model, seen: &Sampled, size: (u16, u16)) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a screen");
        let drawn = terminal.draw(|frame| draw(frame, model, seen, true));
        let buffer = drawn.expect("it never fails").buffer.clone();
        let rows = buffer.content.chunks(usize::from(size.0));
        let text = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
        text.map(|row| row.trim_end().to_owned()).collect()
    }

    #[test]
    fn a_terminal_of_eighty_columns_shows_what_matters() {
        let screen = screen(&mut Model::default(), &seen(), (80, 12));
        let shown = [
            "meshcast 4 members · 6 links · 1 channel · 0.0 posts/s · 0.0 received/s",
            "received/s, up to 0",
            " 1 Nodes   2 Links   3 Channels",
            "NAME▼  REGION  STATE  LINKS  POST/S  RECV/S  QUEUE  LAG  MISSED  DROPS  REPAIRED",
            "fra-1  fra     up          3       -       -    0 B    0       0      0        0",
        ];
        for (line, expected) in screen.iter().zip(shown) {
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words(line), words(expected), "{screen:#?}");
        }
        assert!(screen[7].starts_with("nrt-1"), "{screen:#?}");
        assert!(screen[11].contains("q quit"), "{screen:#?}");
    }

    #[test]
    fn a_link_that_is_cut_is_said_to_be() {
        let mut model = Model {
            tab: Tab::Links,
            ..Model::default()
        };
        let screen = screen(&mut model, &seen(), (80, 12));
        let mut lines = screen.iter();
        let cut = lines.find(|line| line.split_whitespace().take(2).eq(["fra", "iad"]));
        assert!(
            cut.is_some_and(|line| line.contains("! cut")),
            "{screen:#?}"
        );
    }

    #[test]
    fn a_row_that_is_opened_shows_its_links_and_channels() {
        let (mut model, seen) = (Model::default(), seen());
        model.press(KeyCode::Enter.into(), &seen.view);
        let screen = screen(&mut model, &seen, (80, 24));
        for text in ["fra-1 in fra", "Links", "iad-1", "Channels", "earth"] {
            assert!(
                screen.iter().any(|line| line.starts_with(text)),
                "{text}: {screen:#?}"
            );
        }
        model.open = Some("gone".into());
        let gone = self::screen(&mut model, &seen, (80, 24));
        assert!(gone[3].starts_with("gone is gone"), "{gone:#?}");
    }

    #[test]
    fn help_is_in_the_middle() {
        let mut model = Model {
            shows_help: true,
            ..Model::default()
        };
        let screen = screen(&mut model, &seen(), (80, 24));
        assert!(
            screen.iter().any(|line| line.contains("┌ help ")),
            "{screen:#?}"
        );
        assert!(
            screen
                .iter()
                .any(|line| line.contains("sort by the column"))
        );
    }

    #[test]
    fn no_terminal_is_too_small() {
        let seen = seen();
        for size in [(1, 1), (5, 3), (20, 5), (300, 100)] {
            for (shows_help, open) in [(false, None), (true, None), (false, Some("fra-1".into()))] {
                let mut model = Model {
                    shows_help,
                    open,
                    ..Model::default()
                };
                model.saw(&seen.view);
                screen(&mut model, &seen, size);
            }
        }
    }

    #[test]
    fn without_nodes_it_says_what_to_do() {
        let screen = screen(
            &mut Model::default(),
            &Sampled {
                number: 1,
                ..Sampled::default()
            },
            (80, 5),
        );
        assert!(
            screen[0].contains("start some with `meshcast up`"),
            "{screen:#?}"
        );
    }

    #[test]
    fn nothing_is_coloured_if_colours_are_refused() {
        let (mut model, seen) = (Model::default(), seen());
        let mut terminal = Terminal::new(TestBackend::new(80, 12)).expect("a screen");
        let drawn = terminal.draw(|frame| draw(frame, &mut model, &seen, false));
        let buffer = drawn.expect("it never fails").buffer.clone();
        let mut colours = buffer.content.iter().map(|cell| (cell.fg, cell.bg));
        assert!(colours.all(|colour| colour == (Color::Reset, Color::Reset)));
    }
}
