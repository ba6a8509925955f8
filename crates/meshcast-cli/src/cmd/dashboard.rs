//! `meshcast dashboard`

use serde::Serialize;

use crate::{
    args,
    dashboard::{self, PageKey, Scene, Timeline},
    exit::{Exit, Failure},
    locate,
    output::Output,
};

pub(crate) async fn run(args: args::Dashboard, output: &Output) -> Result<Exit, Failure> {
    let nodes = locate::live().await?.len();
    let listener = dashboard::bind(args.port).await.map_err(|error| {
        let port = args.port.unwrap_or_default();
        Failure::io(format!("serve the page at port {port}"))(error).hint("choose another --port")
    })?;
    let address = listener.local_addr().map_err(Failure::io("listen"))?;
    let key = PageKey::random()?;
    let report = Report {
        schema: "dashboard/v1",
        page: key.address(address),
        nodes,
    };
    output.result(&report, || format!("{}\n", report.page))?;
    if nodes == 0 {
        output.note("no node is running here yet: the page shows those that come");
    }
    output.note("Ctrl-C ends it.");
    dashboard::serve(listener, key, Scene::Machine, Timeline::default()).await;
    Ok(Exit::Ok)
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    /// What to open in a browser, with the key of the page.
    page: String,
    /// How many nodes run here now.
    nodes: usize,
}
