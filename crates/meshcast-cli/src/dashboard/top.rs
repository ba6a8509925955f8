//! The same in a terminal: nodes, links and channels as tables.
//!
//! `grid` is a table as data, `tables` makes them of a view, and `model` is what the person at the
//! keys has chosen. These are pure. `draw` puts a model on a screen, and `terminal` is the loop
//! around it.

mod draw;
mod grid;
mod model;
mod tables;
mod terminal;

use std::{collections::BTreeMap, io};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Scene, Timeline,
    sampler::{self, Sampled},
};
use crate::{
    exit::{Exit, Failure},
    locate,
    output::{Output, reader_gone},
};

pub(crate) use self::terminal::run;

/// Prints what there is, with rates over a round.
pub(crate) async fn once(scene: Scene, output: &Output) -> Result<Exit, Failure> {
    let (watching, sampling) = sampler::new(scene, Timeline::default());
    let (mut sampled, _viewer) = watching.enter();
    let second = async {
        // The first has no rates.
        let seen = sampled.wait_for(|it| it.number >= 2 || is_empty(it)).await;
        seen.map(|seen| seen.clone()).map_err(Failure::failed)
    };
    let seen = tokio::select! {
        seen = second => seen?,
        () = sampling => return Err(locate::none()),
    };
    if is_empty(&seen) {
        return Err(locate::none());
    }
    output.result(&document(&seen), || {
        let tables = tables::all(&seen.view);
        let tables = tables.map(|table| table.render(output.palette()));
        tables.join("\n")
    })?;
    Ok(Exit::Ok)
}

/// Prints a line a round until nobody reads them.
pub(crate) async fn stream(scene: Scene, output: &Output) -> Result<Exit, Failure> {
    let (watching, sampling) = sampler::new(scene, Timeline::default());
    let (mut sampled, _viewer) = watching.enter();
    let writing = async {
        while sampled.changed().await.is_ok() {
            let seen = sampled.borrow_and_update().clone();
            let line = serde_json::to_string(&document(&seen)).map_err(Failure::failed)?;
            output.line(&line)?;
        }
        Ok(Exit::Ok)
    };
    tokio::select! {
        written = writing => written,
        () = sampling => Ok(Exit::Ok),
        // As if it had been noticed by writing.
        () = reader_gone() => Err(Failure::stdout(io::ErrorKind::BrokenPipe.into())),
    }
}

fn is_empty(seen: &Sampled) -> bool {
    seen.number > 0 && seen.picture.nodes.is_empty()
}

/// The document for a program: the view, with lists where it has maps.
fn document(seen: &Sampled) -> Value {
    let view = &seen.view;
    json!({
        "schema": "top/v1",
        "totals": view.totals,
        "nodes": named(&view.members),
        "links": view.links.values().collect::<Vec<_>>(),
        "channels": named(&view.channels),
    })
}

fn named<T: Serialize>(rows: &BTreeMap<String, T>) -> Vec<Value> {
    #[derive(Serialize)]
    struct Named<'a, T> {
        name: &'a str,
        #[serde(flatten)]
        row: &'a T,
    }
    let rows = rows.iter().map(|(name, row)| Named { name, row });
    let rows = rows.map(|row| serde_json::to_value(row).unwrap_or_default());
    rows.collect()
}
