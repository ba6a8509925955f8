//! `meshcast health`

use std::time::SystemTime;

use clap::Args as ClapArgs;
use meshcast::admin::schema::HealthReport;

use super::peers::seeds;
use crate::{
    args::{TEMPLATE, Target},
    exit::{Exit, Failure},
    locate,
    output::Output,
    render::{self, Palette, Table},
};

/// Tell whether a node is well
///
/// Status 0 if it answers and is ready, 1 if not: for a probe. It shows how many members are
/// connected, since when none is, how many messages are known to be missing, and the state of each
/// seed. Being alone is no fault.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast health
  meshcast health --node nrt-1 --json")]
pub(crate) struct Health {
    #[command(flatten)]
    pub(crate) target: Target,
}

pub(crate) async fn run(args: Health, output: &Output) -> Result<Exit, Failure> {
    let client = locate::pick(&args.target, output).await?;
    let report: HealthReport = client.get("/v1/health").await?;
    output.result(&report, || {
        let (now, palette) = (SystemTime::now(), output.palette());
        let health = table(&report, now, palette);
        if report.seeds.is_empty() {
            return health;
        }
        format!("{health}\n{}", seeds(&report.seeds, false, now, palette))
    })?;
    Ok(verdict(&report))
}

fn verdict(report: &HealthReport) -> Exit {
    if report.live && report.ready {
        Exit::Ok
    } else {
        Exit::Failed
    }
}

fn table(report: &HealthReport, now: SystemTime, palette: Palette) -> String {
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    let mut table = Table::new(&["LIVE", "READY", ">MEMBERS", ">ALONE", ">MISSING"]);
    table.row([
        yes(report.live),
        yes(report.ready),
        report.members.to_string(),
        report
            .isolated_since
            .as_ref()
            .map_or_else(|| render::UNKNOWN.into(), |since| render::since(since, now)),
        report
            .behind_by
            .map_or_else(|| render::UNKNOWN.into(), |behind_by| behind_by.to_string()),
    ]);
    table.render(palette)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_node_that_is_not_ready_is_a_finding() {
        let report = |live, ready| HealthReport {
            schema: String::new(),
            live,
            ready,
            members: 2,
            isolated_since: (!ready).then(|| "1970-01-01T00:00:00.000Z".into()),
            behind_by: Some(3),
            seeds: vec![],
        };
        assert_eq!(verdict(&report(true, true)), Exit::Ok);
        assert_eq!(verdict(&report(true, false)), Exit::Failed);
        assert_eq!(verdict(&report(false, false)), Exit::Failed);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(90);
        assert_eq!(
            table(&report(true, false), now, Palette::PLAIN),
            "LIVE  READY  MEMBERS  ALONE  MISSING\n\
             yes   no           2  1m30s        3\n"
        );
    }
}
