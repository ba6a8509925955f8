//! `meshcast channels`

use clap::Args as ClapArgs;
use meshcast::admin::schema::ChannelReport;

use crate::{
    args::{TEMPLATE, Target},
    exit::{Exit, Failure},
    locate,
    output::Output,
    render::{self, Palette, Table},
};

/// List the channels of a node
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast channels
  meshcast channels --json | jq '.channels[].senders'")]
pub(crate) struct Channels {
    #[command(flatten)]
    pub(crate) target: Target,
}

pub(crate) async fn run(args: Channels, output: &Output) -> Result<Exit, Failure> {
    let client = locate::pick(&args.target, output).await?;
    let mut report: ChannelReport = client.get("/v1/channels").await?;
    report.channels.sort_by(|a, b| a.name.cmp(&b.name));
    output.result(&report, || table(&report, output.palette()))?;
    if report.channels.is_empty() {
        output.note(&format!("{} has no channel open", client.name()));
    }
    Ok(Exit::Ok)
}

fn table(report: &ChannelReport, palette: Palette) -> String {
    let mut table = Table::new(&[
        "CHANNEL",
        ">OBJECTS",
        ">SUBSCRIBERS",
        ">MESH",
        ">SENDERS",
        ">OUTBOX",
        ">UNREAD",
        ">HEARD",
        ">MISSED",
        ">DROPS",
        ">REPAIRED",
    ]);
    for channel in &report.channels {
        table.row([
            render::channel(&channel.name),
            channel.objects.to_string(),
            channel.subscribers.len().to_string(),
            channel.mesh.len().to_string(),
            channel.senders.len().to_string(),
            render::bytes(channel.outbox_bytes),
            render::bytes(channel.unread_bytes),
            channel.delivered.to_string(),
            channel.missed.saturating_add(channel.unread).to_string(),
            channel.dropped.to_string(),
            channel.repaired.to_string(),
        ]);
    }
    table.render(palette)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_channel_shows() {
        let report = serde_json::from_str(
            r#"{"schema":"channels/v1","channels":[
                {"name":"","objects":1,"subscribers":["a","b"],"mesh":["a"],"senders":[],
                 "outbox_bytes":0,"unread_bytes":2048,"delivered":9,"repaired":4,"missed":3,
                 "unread":2,"dropped":1,"of_a_later_version":true}]}"#,
        )
        .expect("unknown fields are no harm");
        assert_eq!(
            table(&report, Palette::PLAIN),
            "CHANNEL  OBJECTS  SUBSCRIBERS  MESH  SENDERS  OUTBOX   UNREAD  HEARD  MISSED  \
             DROPS  REPAIRED\n\
             \"\"             1            2     1        0     0 B  2.0 KiB      9       5  \
             \x20   1         4\n"
        );
    }
}
