//! What `meshcast up` can be told.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::Args as ClapArgs;
use meshcast::Region;

use crate::args::{
    TEMPLATE,
    numbers::{self, at_least_one, duration},
};

/// Run several regions on this machine, each with a small HTTP service
///
/// Each node is a real one, named like fra-1, that hears the others over TCP on the loopback
/// interface. Its service on 127.0.0.1 has three paths: /send?message=… posts to the channel
/// "earth", /messages lists what it posted and heard (the last 1,000), /metrics is for Prometheus.
/// Without a key in MESHCAST_KEY or --key-file a new one is made.
///
/// A page shows the nodes, live, and breaks them by clicks. Its address is printed first; the key
/// at its end lets you in.
///
/// Messages between regions take as long as between real ones, if that is known: regions named ams,
/// cdg, fra, gru, iad, jnb, lhr, nrt, ord, sin, sjc, syd and yyz. The times are printed. With
/// `meshcast fault` links are cut and nodes killed. With --scenario the faults are those of a file;
/// the run ends when it is over and was judged, with status 1 if a guarantee was broken.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast up
  meshcast up --rtt none
  meshcast up --regions fra,gru,mars --rtt fra:mars=900ms --rtt gru:mars=900ms
  meshcast up --regions fra,gru --nodes-per-region 2 --http-base 9000
  meshcast up --loss 1% --bandwidth fra:iad=1MiB
  meshcast up --scenario partition-10 --report report.html")]
pub(crate) struct Up {
    /// The regions, separated by commas
    #[arg(
        long,
        value_name = "REGIONS",
        value_delimiter = ',',
        default_value = "fra,iad,nrt",
        conflicts_with = "scenario"
    )]
    pub(crate) regions: Vec<Region>,
    /// How many nodes in each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<u16>,
        conflicts_with = "scenario")]
    pub(crate) nodes_per_region: u16,
    /// The port of the first service; the others follow (0: let the system choose them)
    #[arg(long, value_name = "PORT", default_value_t = 8101)]
    pub(crate) http_base: u16,
    /// The round trip between two regions (fra:iad=90ms), or none: no delay anywhere; may be
    /// repeated
    #[arg(long, value_name = "A:B=TIME|none", value_parser = rtt, conflicts_with = "scenario")]
    pub(crate) rtt: Vec<Rtt>,
    /// Packet loss between regions (1%, or fra:iad=1% between two); may be repeated
    #[arg(long, value_name = "[A:B=]PERCENT", value_parser = loss, conflicts_with = "scenario")]
    pub(crate) loss: Vec<OnLinks<Loss>>,
    /// How many bytes a second a connection between regions carries each way (10MiB, or
    /// fra:iad=1MiB between two); may be repeated
    #[arg(long, value_name = "[A:B=]BYTES", value_parser = bandwidth, conflicts_with = "scenario")]
    pub(crate) bandwidth: Vec<OnLinks<NonZeroU64>>,
    /// Run a scenario of `meshcast sim list`, or of a file, in real time, and end with it
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<String>,
    /// Seed of everything that a scenario leaves to chance
    #[arg(long, value_name = "N", default_value_t = 1, requires = "scenario")]
    pub(crate) seed: u64,
    /// Where to write what the run of the scenario was like: a page (.html) or JSON (.json)
    #[arg(long, value_name = "FILE", requires = "scenario")]
    pub(crate) report: Option<PathBuf>,
    /// The port of the page, or none for no page [default: 8100, or any if that is taken]
    #[arg(long, value_name = "PORT|none", value_parser = page, default_value = "", hide_default_value = true)]
    pub(crate) page: Page,
    /// A file with the key; MESHCAST_KEY is not read then
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// What `--page` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    None,
    /// At this port, or wherever there is one.
    At(Option<u16>),
}

/// What `--rtt` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rtt {
    /// Nothing is added, but what is said otherwise.
    None,
    Between(Region, Region, Duration),
}

/// What is said of the links between two regions, or of those between any two.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OnLinks<T> {
    pub(crate) between: Option<(Region, Region)>,
    pub(crate) is: T,
}

/// A part of all packets: 0.01 for 1 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loss(pub(crate) f64);

/// `none`, `8100`.
fn page(text: &str) -> Result<Page, String> {
    match text {
        "none" => Ok(Page::None),
        "" => Ok(Page::At(None)),
        port => port
            .parse()
            .map(|port| Page::At(Some(port)))
            .map_err(|_| "it is a port, or none".to_owned()),
    }
}

/// `none`, `fra:iad=90ms`.
fn rtt(text: &str) -> Result<Rtt, String> {
    if text == "none" {
        return Ok(Rtt::None);
    }
    let parts = || {
        let (regions, time) = text.split_once('=')?;
        let (a, b) = regions.split_once(':')?;
        Some((a, b, time))
    };
    let (a, b, time) = parts().ok_or("it looks like fra:iad=90ms, or is none")?;
    let region = |name: &str| Region::new(name).map_err(|error| error.to_string());
    let time = duration(time)?;
    if time > LONGEST_RTT {
        return Err(format!(
            "{LONGEST_RTT:?} is the most: over longer links nodes give up before they know each other"
        ));
    }
    Ok(Rtt::Between(region(a)?, region(b)?, time))
}

/// `1%`, `fra:iad=0.5%`.
fn loss(text: &str) -> Result<OnLinks<Loss>, String> {
    on_links(text, |percent| {
        let number = percent
            .strip_suffix('%')
            .and_then(|it| it.trim().parse().ok());
        let number = number.filter(|it| (0.0..=MOST_LOST).contains(it));
        let wrong = || format!("{percent:?} is no part of 0% to {MOST_LOST}%");
        number
            .map(|percent: f64| Loss(percent / 100.0))
            .ok_or_else(wrong)
    })
}

/// `10MiB`, `fra:iad=65536`.
fn bandwidth(text: &str) -> Result<OnLinks<NonZeroU64>, String> {
    on_links(text, |bytes| {
        let number = Some(numbers::bytes(bytes)?).filter(|it| *it >= LEAST_BANDWIDTH);
        let number = number.and_then(NonZeroU64::new);
        number.ok_or_else(|| format!("{bytes:?} is no number of bytes from {LEAST_BANDWIDTH} on"))
    })
}

fn on_links<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<OnLinks<T>, String> {
    let Some((regions, is)) = text.split_once('=') else {
        let between = None;
        return parse(text).map(|is| OnLinks { between, is });
    };
    let (a, b) = regions
        .split_once(':')
        .ok_or_else(|| format!("{regions:?} are no two regions, as in fra:iad"))?;
    let region = |name: &str| Region::new(name).map_err(|error| error.to_string());
    let between = Some((region(a)?, region(b)?));
    parse(is).map(|is| OnLinks { between, is })
}

/// With more, connections do not live long enough for nodes to know each other.
const MOST_LOST: f64 = 30.0;

/// With less, a connection takes longer to admit a member than there is time for it.
const LEAST_BANDWIDTH: u64 = 4096;

/// Several go by before two nodes know each other, for which there are 10 seconds.
const LONGEST_RTT: Duration = Duration::from_secs(1);
