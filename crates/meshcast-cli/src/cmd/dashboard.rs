//! `meshcast dashboard`

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::{
    args::TEMPLATE,
    dashboard::{self, PageKey, Scene, Timeline},
    exit::{Exit, Failure},
    locate,
    output::Output,
};

/// Show the nodes of this machine on a page in the browser, live
///
/// Members on a map, links, channels, what is posted and how it arrives. It asks the nodes through
/// their admin sockets while a page is open. The page is served on 127.0.0.1 alone: to programs of
/// this machine, and to no web page of anybody else. `meshcast up` serves it by itself.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast dashboard
  meshcast dashboard --port 9000")]
pub(crate) struct Dashboard {
    /// Its port [default: 8100, or any if that is taken]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
}

pub(crate) async fn run(args: Dashboard, output: &Output) -> Result<Exit, Failure> {
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
