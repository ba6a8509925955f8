//! What completes names: those of the nodes, channels and places that are there now.

use std::{collections::BTreeSet, ffi::OsStr, time::Duration};

use clap_complete::CompletionCandidate;
use futures::future::join_all;
use meshcast::admin::schema::ChannelReport;
use tokio::{runtime, time::timeout};

use crate::{
    faults::{PATH, Status},
    locate,
};

/// The nodes of this machine.
pub(crate) fn nodes(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, async {
        let live = locate::live().await.unwrap_or_default();
        live.iter().map(|node| node.name().to_owned()).collect()
    })
}

/// The channels that they have open.
pub(crate) fn channels(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, async {
        let live = locate::live().await.unwrap_or_default();
        let asked = live
            .iter()
            .map(|node| node.get::<ChannelReport>("/v1/channels"));
        let reports = join_all(asked).await.into_iter().flatten();
        let channels = reports.flat_map(|report| report.channels);
        channels.map(|channel| channel.name).collect()
    })
}

/// What `meshcast fault` can be told to break: nodes of a running `meshcast up`.
pub(crate) fn broken(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, async {
        let status = status().await.map(|status| status.nodes);
        let nodes = status.into_iter().flatten();
        nodes.map(|node| node.name).collect()
    })
}

/// The same, and their regions.
pub(crate) fn places(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, async {
        let status = status().await.map(|status| status.nodes);
        let nodes = status.into_iter().flatten();
        nodes.flat_map(|node| [node.name, node.region]).collect()
    })
}

async fn status() -> Option<Status> {
    locate::up(None).await.ok()?.get(PATH).await.ok()
}

/// Those that begin with what was typed. Names that a shell would split or that would not be seen
/// are left out.
fn candidates(
    typed: &OsStr,
    names: impl Future<Output = BTreeSet<String>>,
) -> Vec<CompletionCandidate> {
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let names = runtime.block_on(async { timeout(PATIENCE, names).await });
    let typed = typed.to_string_lossy();
    let fits = |name: &String| name.starts_with(&*typed) && is_plain(name);
    let names = names.unwrap_or_default().into_iter().filter(fits);
    names.map(CompletionCandidate::new).collect()
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_./@+=,%".contains(c);
    !name.is_empty() && name.chars().all(plain)
}

/// A person waits for it at a prompt.
const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_by_how_they_begin_unless_a_shell_would_take_them_for_something_else() {
        let names = ["earth", "eu/prices", "a b", "", "$(reboot)", "mars"];
        let shown = |typed: &str| {
            let names = names.map(str::to_owned).into_iter().collect();
            let found = candidates(OsStr::new(typed), std::future::ready(names));
            let texts = found
                .iter()
                .map(|it| it.get_value().to_string_lossy().into_owned());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(shown(""), ["earth", "eu/prices", "mars"]);
        assert_eq!(shown("e"), ["earth", "eu/prices"]);
        assert_eq!(shown("$"), [""; 0]);
    }
}
