//! The happenings, the latest last: faults on purpose, and changes between two looks.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::view::{Link, Member, State, View};

/// All that is remembered. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    entries: VecDeque<Entry>,
    /// The number of the latest.
    last: u64,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// They are numbered 1, 2, 3 …
    pub(super) id: u64,
    /// Milliseconds since 1970.
    pub(super) at_ms: u64,
    #[serde(flatten)]
    pub(super) happening: Happening,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Happening {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// The member it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member: Option<String>,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Something was broken on purpose.
    Fault,
    /// It was mended.
    Mend,
    /// A member came or went.
    Member,
    /// The last link between two regions went, or the first one came.
    Link,
    /// Messages will not come.
    Gap,
    /// Messages were fetched.
    Repair,
    /// Somebody posted here.
    Post,
}

impl Timeline {
    /// Notes what was done, to this member if it was one.
    pub(crate) fn note(&self, kind: Kind, text: String, member: Option<String>) {
        self.extend([Happening { kind, text, member }]);
    }

    pub(super) fn extend(&self, happenings: impl IntoIterator<Item = Happening>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let mut all = self.lock();
        for happening in happenings {
            all.last += 1;
            let entry = Entry {
                id: all.last,
                at_ms: now,
                happening,
            };
            all.entries.push_back(entry);
            if all.entries.len() > REMEMBERED {
                all.entries.pop_front();
            }
        }
    }

    /// The entries after that of this number, as far as they are remembered.
    pub(super) fn since(&self, id: u64) -> Vec<Entry> {
        let all = self.lock();
        let new = all.entries.iter().filter(|entry| entry.id > id);
        new.cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What changed from one view to the next.
pub(super) fn happenings(before: &View, now: &View) -> Vec<Happening> {
    let mut all = Vec::new();
    for (name, member) in &now.members {
        let earlier = before.members.get(name);
        all.extend(moved(name, earlier, member));
        if let Some(earlier) = earlier {
            all.extend(missed(name, earlier, member));
            all.extend(repaired(name, earlier, member));
        }
    }
    let gone = before.members.iter();
    let gone = gone.filter(|(name, _)| !now.members.contains_key(*name));
    all.extend(gone.map(|(name, _)| about(Kind::Member, name, format!("{name} is gone"))));
    let (mut came, mut went) = (Vec::new(), Vec::new());
    for (key, link) in &now.links {
        let earlier = before.links.get(key).map_or(0, |link| link.links);
        match (earlier, link.links) {
            (1.., 0) => went.push(link),
            (0, 1..) => came.push(link),
            _ => {}
        }
    }
    let gone = before.links.iter();
    let gone = gone.filter(|(key, link)| !now.links.contains_key(*key) && link.links > 0);
    went.extend(gone.map(|(_, link)| link));
    all.extend(about_links("no link is left", &went));
    all.extend(about_links("there are links again", &came));
    all
}

/// The ways cut or mended since, where that is not told by who did it.
pub(super) fn cut_or_mended(before: &View, now: &View) -> Vec<Happening> {
    let new = |here: &View, there: &View| {
        let cuts = here.cuts.iter().filter(|cut| !there.cuts.contains(cut));
        let mut ways: Vec<_> = cuts
            .map(|cut| format!("{} → {}", cut.from, cut.to))
            .collect();
        if ways.len() > NAMED {
            let more = format!("{} more", ways.len() - NAMED);
            ways.truncate(NAMED);
            ways.push(more);
        }
        (!ways.is_empty()).then(|| ways.join(", "))
    };
    let cut = new(now, before).map(|ways| (Kind::Fault, format!("nothing passes {ways}")));
    let mended = new(before, now).map(|ways| (Kind::Mend, format!("mended: {ways}")));
    let all = cut.into_iter().chain(mended);
    all.map(|(kind, text)| Happening {
        kind,
        text,
        member: None,
    })
    .collect()
}

fn moved(name: &str, earlier: Option<&Member>, member: &Member) -> Option<Happening> {
    let same = earlier.is_some_and(|earlier| earlier.state == member.state);
    let anew = earlier.is_some_and(|earlier| {
        same && earlier.peer_id.is_some() && earlier.peer_id != member.peer_id
    });
    let what = match member.state {
        _ if anew => "was started anew",
        _ if same => return None,
        State::Up => "is up",
        State::Paused => "is paused: all its links are cut",
        State::Down => "is down",
        State::Silent => "does not answer",
        State::Elsewhere => "was found elsewhere",
    };
    Some(about(Kind::Member, name, format!("{name} {what}")))
}

fn missed(name: &str, earlier: &Member, member: &Member) -> Option<Happening> {
    let more = grown(earlier, member, |counts| counts.missed)?;
    let text = format!(
        "{name} was told that {} will not come",
        counted(more, "message")
    );
    Some(about(Kind::Gap, name, text))
}

fn repaired(name: &str, earlier: &Member, member: &Member) -> Option<Happening> {
    let more = grown(earlier, member, |counts| counts.repaired)?;
    let text = format!(
        "{name} fetched {} that it had missed",
        counted(more, "frame")
    );
    Some(about(Kind::Repair, name, text))
}

/// By how much a counter of the same process has grown.
fn grown(
    earlier: &Member,
    member: &Member,
    count: impl Fn(&super::view::Counts) -> u64,
) -> Option<u64> {
    if earlier.peer_id != member.peer_id {
        return None;
    }
    let more = count(member.counts.as_ref()?).saturating_sub(count(earlier.counts.as_ref()?));
    (more > 0).then_some(more)
}

/// Of all links at once: a cut takes many.
fn about_links(what: &str, links: &[&Link]) -> Option<Happening> {
    let name = |link: &&Link| match link.a == link.b {
        true => format!("inside of {}", link.a),
        false => format!("{}–{}", link.a, link.b),
    };
    let mut names: Vec<_> = links.iter().take(NAMED).map(name).collect();
    if links.len() > NAMED {
        names.push(format!("{} more", links.len() - NAMED));
    }
    (!links.is_empty()).then(|| Happening {
        kind: Kind::Link,
        text: format!("{what}: {}", names.join(", ")),
        member: None,
    })
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn about(kind: Kind, member: &str, text: String) -> Happening {
    Happening {
        kind,
        text,
        member: Some(member.to_owned()),
    }
}

/// Pairs of regions, or ways, that one entry names.
const NAMED: usize = 6;
/// As many as a person scrolls through.
const REMEMBERED: usize = 400;

#[cfg(test)]
mod tests {
    use super::{
        super::view::{Counts, key},
        *,
    };
    use crate::faults::Cut;

    fn member(state: State, id: &str, repaired: u64) -> Member {
        Member {
            region: "fra".into(),
            state,
            peer_id: Some(id.into()),
            counts: Some(Counts {
                repaired,
                ..Counts::default()
            }),
            ..Member::default()
        }
    }

    fn view(member: Option<Member>, links: Option<usize>) -> View {
        let link = links.map(|links| Link {
            a: "fra".into(),
            b: "iad".into(),
            links,
            ..Link::default()
        });
        View {
            members: member.map(|it| ("fra-1".into(), it)).into_iter().collect(),
            links: link.map(|it| (key("fra", "iad"), it)).into_iter().collect(),
            ..View::default()
        }
    }

    fn texts(before: &View, now: &View) -> Vec<String> {
        let all = happenings(before, now).into_iter();
        all.map(|it| it.text).collect()
    }

    #[test]
    fn what_changed_between_two_looks_is_told_once() {
        let up = view(Some(member(State::Up, "a", 0)), Some(1));
        let down = view(Some(member(State::Down, "a", 0)), Some(0));
        assert_eq!(texts(&up, &up), [""; 0]);
        let lost = ["fra-1 is down", "no link is left: fra–iad"];
        assert_eq!(texts(&up, &down), lost);
        assert_eq!(
            texts(&down, &up),
            ["fra-1 is up", "there are links again: fra–iad"]
        );
        assert_eq!(
            texts(&up, &view(None, None)),
            ["fra-1 is gone", "no link is left: fra–iad"]
        );
    }

    #[test]
    fn what_somebody_else_cut_and_mended_is_told() {
        let cut = |to: &str| Cut {
            from: "fra".into(),
            to: to.into(),
        };
        let with = |cuts: Vec<Cut>| View {
            cuts,
            ..View::default()
        };
        let told = |before: &View, now: &View| {
            let all = cut_or_mended(before, now).into_iter();
            all.map(|it| (it.kind, it.text)).collect::<Vec<_>>()
        };
        let (none, one) = (with(vec![]), with(vec![cut("iad")]));
        let other = with(vec![cut("nrt")]);
        assert_eq!(told(&none, &none), []);
        assert_eq!(
            told(&none, &one),
            [(Kind::Fault, "nothing passes fra → iad".into())]
        );
        assert_eq!(
            told(&one, &other),
            [
                (Kind::Fault, "nothing passes fra → nrt".into()),
                (Kind::Mend, "mended: fra → iad".into())
            ]
        );
        let many = with((0..9).map(|n| cut(&n.to_string())).collect());
        let told = told(&none, &many);
        assert!(told[0].1.ends_with("fra → 5, 3 more"), "{told:?}");
    }

    #[test]
    fn counters_of_another_process_are_not_compared() {
        let before = view(Some(member(State::Up, "a", 1)), None);
        let more = view(Some(member(State::Up, "a", 3)), None);
        let anew = view(Some(member(State::Up, "b", 7)), None);
        assert_eq!(
            texts(&before, &more),
            ["fra-1 fetched 2 frames that it had missed"]
        );
        assert_eq!(texts(&before, &anew), ["fra-1 was started anew"]);
    }

    #[test]
    fn the_oldest_make_way_and_numbers_go_on() {
        let timeline = Timeline::default();
        for i in 0..REMEMBERED + 2 {
            timeline.note(Kind::Post, i.to_string(), None);
        }
        let all = timeline.since(0);
        assert_eq!((all.len(), all[0].id), (REMEMBERED, 3));
        assert_eq!(timeline.since(all[REMEMBERED - 1].id), []);
    }
}
