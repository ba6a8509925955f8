//! The choices of the person at the keys, and what follows from them.

use std::collections::VecDeque;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    super::view::View,
    grid::{Grid, Row},
    tables::Tab,
};

/// Everything that is not on the screen because a node said so.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) tab: Tab,
    pub(super) places: [Place; 3],
    /// Only rows with this text are shown.
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) is_typing: bool,
    pub(super) shows_help: bool,
    /// Nothing new is taken.
    pub(super) is_paused: bool,
    /// The row that is looked into.
    pub(super) open: Option<String>,
    /// How many lines of it are above the screen.
    pub(super) scroll: usize,
    /// Deliveries a second, of the last rounds.
    pub(super) rates: VecDeque<u64>,
}

/// Where one is in a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    column: usize,
    is_reversed: bool,
    /// The row, whatever its place; the first if it is gone.
    key: Option<String>,
    /// How many rows are above the screen.
    above: usize,
}

/// What a key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Quit,
    /// As a signal would.
    Interrupt,
}

impl Model {
    /// A round of numbers has come.
    pub(super) fn saw(&mut self, view: &View) {
        if self.rates.len() == RATES {
            self.rates.pop_front();
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is neither negative nor that large"
        )]
        self.rates.push_back(view.totals.delivered_per_s as u64);
    }

    /// The table as it is to be seen: filtered and sorted.
    pub(super) fn table(&self, view: &View) -> Grid {
        let place = self.place();
        let table = self.tab.table(view).filtered(&self.filter);
        table.sorted(place.column, place.is_reversed)
    }

    /// By which column the table is sorted, and whether the other way round.
    pub(super) fn sorting(&self) -> (usize, bool) {
        let place = self.place();
        (place.column, place.is_reversed)
    }

    /// Which of these rows is chosen.
    pub(super) fn selected(&self, rows: &[Row]) -> usize {
        let key = self.place().key.as_deref();
        let place = rows.iter().position(|row| Some(row.key.as_str()) == key);
        place.unwrap_or(0)
    }

    /// How many rows are above a screen of this height, so that the chosen one can be seen.
    pub(super) fn above(&mut self, rows: &[Row], height: usize) -> usize {
        let selected = self.selected(rows);
        let place = self.place_mut();
        let most = rows.len().saturating_sub(height);
        let least = (selected + 1).saturating_sub(height);
        place.above = place.above.min(most).clamp(least, selected.max(least));
        place.above
    }

    pub(super) fn press(&mut self, key: KeyEvent, view: &View) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Next::Interrupt,
                _ => Next::Stay,
            };
        }
        if self.is_typing {
            self.type_filter(key.code);
        } else if self.shows_help {
            self.shows_help = false;
        } else if self.open.is_some() {
            return self.press_inside(key.code);
        } else {
            return self.press_outside(key.code, view);
        }
        Next::Stay
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(letter) if self.filter.len() < FILTER => self.filter.push(letter),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            _ => {}
        }
    }

    fn press_inside(&mut self, key: KeyCode) -> Next {
        match key {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Enter | KeyCode::Left => self.open = None,
            KeyCode::Down | KeyCode::Char('j') => self.scroll += 1,
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll += PAGE,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.scroll = 0,
            // Bounded when it is drawn.
            KeyCode::End | KeyCode::Char('G') => self.scroll = usize::MAX / 2,
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Char('?') => self.shows_help = true,
            _ => {}
        }
        Next::Stay
    }

    fn press_outside(&mut self, key: KeyCode, view: &View) -> Next {
        match key {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(Tab::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='3') => self.tab = Tab::ALL[digit as usize - '1' as usize],
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('?' | 'h') => self.shows_help = true,
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Char('>') => self.sort_by(1),
            KeyCode::Char('<') => self.sort_by(self.tab.columns().len() - 1),
            KeyCode::Char('r') => {
                let place = self.place_mut();
                place.is_reversed = !place.is_reversed;
            }
            KeyCode::Down | KeyCode::Char('j') => self.go(view, |at| at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.go(view, |at| at.saturating_sub(1)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.go(view, |at| at + PAGE),
            KeyCode::PageUp => self.go(view, |at| at.saturating_sub(PAGE)),
            KeyCode::Home | KeyCode::Char('g') => self.go(view, |_| 0),
            KeyCode::End | KeyCode::Char('G') => self.go(view, |_| usize::MAX),
            KeyCode::Enter => {
                let rows = self.table(view).rows;
                self.open = rows.get(self.selected(&rows)).map(|row| row.key.clone());
                self.scroll = 0;
            }
            _ => {}
        }
        Next::Stay
    }

    fn turn(&mut self, by: usize) {
        let at = Tab::ALL.iter().position(|tab| *tab == self.tab);
        self.tab = Tab::ALL[(at.unwrap_or(0) + by) % Tab::ALL.len()];
    }

    fn sort_by(&mut self, step: usize) {
        let columns = self.tab.columns().len();
        let place = self.place_mut();
        place.column = (place.column + step) % columns;
        place.is_reversed = false;
    }

    fn go(&mut self, view: &View, to: impl FnOnce(usize) -> usize) {
        let rows = self.table(view).rows;
        let to = to(self.selected(&rows)).min(rows.len().saturating_sub(1));
        self.place_mut().key = rows.get(to).map(|row| row.key.clone());
    }

    const fn place(&self) -> &Place {
        &self.places[self.tab as usize]
    }

    const fn place_mut(&mut self) -> &mut Place {
        &mut self.places[self.tab as usize]
    }
}

/// More than a screen is wide.
pub(super) const RATES: usize = 300;
/// Longer than any name.
const FILTER: usize = 256;
/// Less than a screen, so that one sees where one was.
const PAGE: usize = 10;

#[cfg(test)]
mod tests {
    use super::{
        super::super::view::{fixture, view},
        *,
    };

    const FLEET: [&str; 4] = ["fra-1", "fra-2", "iad-1", "nrt-1"];

    fn seen() -> View {
        view(None, &fixture::picture(&FLEET))
    }

    fn press(model: &mut Model, view: &View, keys: &str) {
        for key in keys.chars() {
            let key = match key {
                '\n' => KeyCode::Enter,
                '\t' => KeyCode::Tab,
                '\x1b' => KeyCode::Esc,
                '\x08' => KeyCode::Backspace,
                letter => KeyCode::Char(letter),
            };
            assert_eq!(model.press(key.into(), view), Next::Stay, "{key:?}");
        }
    }

    fn names(model: &Model, view: &View) -> Vec<String> {
        let rows = model.table(view).rows;
        rows.into_iter().map(|row| row.key).collect()
    }

    #[test]
    fn what_is_typed_after_a_slash_filters_until_it_is_taken_back() {
        let (mut model, view) = (Model::default(), seen());
        press(&mut model, &view, "/FRAq\x08");
        assert!(model.is_typing);
        assert_eq!(names(&model, &view), ["fra-1", "fra-2"]);
        press(&mut model, &view, "\n\t");
        assert_eq!(names(&model, &view), ["fra|fra", "fra|iad", "fra|nrt"]);
        press(&mut model, &view, "1\x1b");
        assert_eq!(names(&model, &view).len(), 4);
    }

    #[test]
    fn the_chosen_row_stays_chosen_wherever_it_goes() {
        let (mut model, view) = (Model::default(), seen());
        press(&mut model, &view, "jj");
        let chosen = |model: &Model| {
            let rows = model.table(&view).rows;
            rows[model.selected(&rows)].key.clone()
        };
        assert_eq!(chosen(&model), "iad-1");
        press(&mut model, &view, "r");
        assert_eq!(names(&model, &view), ["nrt-1", "iad-1", "fra-2", "fra-1"]);
        assert_eq!(chosen(&model), "iad-1");
        press(&mut model, &view, "G");
        assert_eq!(chosen(&model), "fra-1");
        press(&mut model, &view, "jk");
        assert_eq!(chosen(&model), "fra-2");
        press(&mut model, &view, "/nrt\n");
        assert_eq!(chosen(&model), "nrt-1", "the first if it is not there");
    }

    #[test]
    fn each_tab_is_sorted_by_itself_around_its_columns() {
        let (mut model, view) = (Model::default(), seen());
        press(&mut model, &view, "<r");
        let columns = Tab::Nodes.columns().len();
        assert_eq!(model.sorting(), (columns - 1, true));
        press(&mut model, &view, "\t");
        assert_eq!((model.tab, model.sorting()), (Tab::Links, (0, false)));
        press(&mut model, &view, "1>");
        assert_eq!((model.tab, model.sorting()), (Tab::Nodes, (0, false)));
    }

    #[test]
    fn the_chosen_row_is_on_the_screen() {
        let (mut model, view) = (Model::default(), seen());
        let rows = model.table(&view).rows;
        assert_eq!(model.above(&rows, 2), 0);
        press(&mut model, &view, "jjj");
        assert_eq!(model.above(&rows, 2), 2);
        press(&mut model, &view, "k");
        assert_eq!(
            model.above(&rows, 2),
            2,
            "it does not move more than it has to"
        );
        press(&mut model, &view, "k");
        assert_eq!(model.above(&rows, 2), 1);
        assert_eq!(model.above(&rows, 9), 0, "no room is wasted");
        assert_eq!(model.above(&[], 2), 0);
        assert_eq!(model.above(&rows, 0), 2, "no screen at all");
    }

    #[test]
    fn a_row_is_opened_and_left_and_help_hides_at_any_key() {
        let (mut model, view) = (Model::default(), seen());
        press(&mut model, &view, "j\n");
        assert_eq!(model.open.as_deref(), Some("fra-2"));
        press(&mut model, &view, "jj?");
        assert!(model.shows_help);
        press(&mut model, &view, "x");
        assert!(!model.shows_help);
        assert_eq!(model.scroll, 2);
        press(&mut model, &view, "\x1b");
        assert_eq!(model.open, None);
    }

    #[test]
    fn it_is_left_by_q_but_not_while_a_q_is_typed() {
        let (mut model, view) = (Model::default(), seen());
        press(&mut model, &view, "/q\x1b\n");
        let quit = |model: &mut Model| model.press(KeyCode::Char('q').into(), &view);
        assert_eq!(quit(&mut model), Next::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        model.is_typing = true;
        assert_eq!(model.press(interrupt, &view), Next::Interrupt);
    }

    #[test]
    fn old_rates_make_way_for_new_ones() {
        let (mut model, mut view) = (Model::default(), seen());
        for rate in 0..=u32::try_from(RATES).expect("few") {
            view.totals.delivered_per_s = f64::from(rate);
            model.saw(&view);
        }
        assert_eq!((model.rates.len(), model.rates[0]), (RATES, 1));
    }
}
