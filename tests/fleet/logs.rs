//! The logs of processes, put together.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use meshcast_sim::{Entry, Event, Name, read_log};

use super::Memory;

/// What is left of a fleet.
#[derive(Debug)]
pub struct Run {
    /// What its processes did, in the order of time.
    pub log: Vec<Entry>,
    /// What memory they took.
    pub memory: Vec<Memory>,
    /// Where their logs are.
    pub directory: PathBuf,
}

/// Reads all logs of a directory. Processes are named after the files: people can tell `fra-1.2`,
/// the second life of a node, from others.
///
/// # Errors
/// If a file cannot be read, or a line is no entry.
pub fn load(directory: &Path) -> Result<Vec<Entry>> {
    let mut logs = Vec::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        let is_log = path
            .extension()
            .is_some_and(|extension| extension == "heard" || extension == "posts");
        if is_log {
            let entries = read(&path).with_context(|| format!("{}", path.display()))?;
            let name = path.file_stem().and_then(|name| name.to_str());
            logs.push((name.context("a name in UTF-8")?.to_owned(), entries));
        }
    }
    let mut names = BTreeMap::new();
    for (name, entries) in &logs {
        if let Some(first) = entries.first() {
            names.insert(first.process.clone(), Name::from(name.as_str()));
        }
    }
    let mut log: Vec<Entry> =
        Vec::with_capacity(logs.iter().map(|(_, entries)| entries.len()).sum());
    for (_, mut entries) in logs {
        entries
            .iter_mut()
            .for_each(|entry| rename(&mut names, entry));
        log.append(&mut entries);
    }
    log.sort_by_key(|entry| entry.t);
    Ok(log)
}

fn read(path: &Path) -> Result<Vec<Entry>> {
    let bytes = fs::read(path)?;
    // A process that was killed may have left half a line.
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    Ok(read_log(&bytes[..whole])?)
}

/// Also makes equal names one in memory.
fn rename(names: &mut BTreeMap<Name, Name>, Entry { process, event, .. }: &mut Entry) {
    let mut rename = |name: &mut Name| match names.get(name) {
        Some(known) => *name = known.clone(),
        None => {
            names.insert(name.clone(), name.clone());
        }
    };
    rename(process);
    match event {
        Event::Open { channel, .. }
        | Event::Close { channel, .. }
        | Event::Post { channel, .. } => {
            rename(channel);
        }
        Event::Delivery {
            channel, sender, ..
        }
        | Event::Gap {
            channel, sender, ..
        } => {
            rename(channel);
            rename(sender);
        }
        _ => {}
    }
}
