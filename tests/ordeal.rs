//! A node with hostile members, and what honest ones lose by it and wait for.
//!
//! Two honest members post at a steady pace and hear each other by way of the victim alone, which
//! runs with default limits as a process of its own. While it is attacked, one of them is cut off
//! and comes back, the victim's only seed starts anew, and newcomers knock.

mod ear;
mod honest;
mod outcome;
mod victim;

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use meshcast::{MeshKey, Multiaddr, Node};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{interval, sleep, timeout},
};

use self::{
    ear::Heard,
    honest::Honest,
    victim::{Statement, gap_told},
};
pub use self::{
    outcome::{Outcome, quantile},
    victim::victim,
};
use crate::{
    clock::now,
    hostile::{Assault, Attack, PHANTOM, Report},
    siege::newcomer,
};

/// What is done to a node.
#[derive(Debug, Clone, Copy)]
pub struct Ordeal {
    /// The attack.
    pub assault: Assault,
    /// How long honest members are alone before it.
    pub before: Duration,
}

impl Ordeal {
    /// Puts a node through it; `program` is that of the hostile member.
    pub async fn run(&self, program: &Path) -> Result<Outcome> {
        let mut entropy = [0; 48];
        getrandom::fill(&mut entropy).context("no random bytes")?;
        let key = MeshKey::from_entropy(entropy);
        let mut seed = seed(&key, "/ip4/127.0.0.1/tcp/0".parse()?).await?;
        let seed_address = seed.info().await?.listen_addresses.remove(0);
        let mut victim = Victim::start(program, &key, &seed_address).await?;
        let mut amber = Honest::start(NAMES[0], &key, &victim.address).await?;
        let mut birch = Honest::start(NAMES[1], &key, &victim.address).await?;
        all_hear_all(&mut victim, &amber, &birch).await?;

        let begin = now();
        sleep(self.before).await;
        let (before, mut most) = (victim.resident()?, 0);
        let (attacked, start) = (now(), Instant::now());
        let mut hostile = Hostile::start(program, &key, &victim.address, &self.assault)?;
        let total = Duration::from_secs_f64(self.assault.seconds);
        let script = async {
            sleep(total / 5).await;
            amber.cut();
            let cut = now();
            sleep(CUT.min(total / 5)).await;
            amber.heal();
            let healed = now();
            sleep((total / 5 * 3).saturating_sub(start.elapsed())).await;
            seed.abort().await;
            sleep(total / 10).await;
            let back = Instant::now();
            seed = self::seed(&key, seed_address.clone()).await?;
            let seed = timeout(GIVEN_UP, seed.wait_for_members(1)).await;
            anyhow::Ok((cut, healed, seed.is_ok().then(|| back.elapsed())))
        };
        let newcomers = async {
            let mut waits = Vec::new();
            while start.elapsed() < total {
                sleep(BETWEEN).await;
                let patience = patience(self.assault.attack, total.saturating_sub(start.elapsed()));
                let came = timeout(patience, newcomer(&key, &victim.address)).await;
                waits.push(came.ok().transpose()?);
            }
            anyhow::Ok(waits)
        };
        let watching = async {
            let mut ticks = interval(LOOK);
            loop {
                ticks.tick().await;
                match victim.resident() {
                    Ok(resident) => most = most.max(resident),
                    Err(error) => return error,
                }
            }
        };
        let (script, newcomers, report) = tokio::select! {
            error = watching => bail!("the victim has ended: {error}"),
            all = async { tokio::join!(script, newcomers, hostile.report()) } => all,
        };
        let ((cut, healed, seed), newcomers, report) = (script?, newcomers?, report?);
        let over = now();
        let posted = [
            (amber.id(), amber.end_posting().await?),
            (birch.id(), birch.end_posting().await?),
        ];
        let statement = settled(&mut victim, [&amber, &birch], &posted).await?;
        let ears = [
            amber.ear.heard(),
            birch.ear.heard(),
            statement.heard.clone(),
        ];

        let (mut lost, mut gaps, mut waits) = (0, Vec::new(), [Vec::new(), Vec::new()]);
        for (reader, heard) in ears.iter().enumerate() {
            for (sender, (id, posted)) in posted
                .iter()
                .enumerate()
                .filter(|(sender, _)| *sender != reader)
            {
                let nothing = Heard::default();
                let heard = heard.get(id).unwrap_or(&nothing);
                lost += heard.lost(*posted);
                gaps.extend(heard.gaps.iter().map(|gap| {
                    let at = gap.told.saturating_sub(attacked.micros());
                    format!(
                        "{} of {} of {posted} at {}, {} ms after the attack began: {}",
                        format_args!("{}..={}", gap.first, gap.last),
                        NAMES[sender],
                        NAMES[reader],
                        at / 1000,
                        gap.reason
                    )
                }));
                // The first of them is cut off for a while.
                let is_cut = reader == 0 || sender == 0;
                waits[0].extend(heard.waits(begin, attacked));
                if is_cut {
                    waits[1].extend(heard.waits(attacked, cut - MARGIN));
                    waits[1].extend(heard.waits(healed + CAUGHT_UP, over));
                } else {
                    waits[1].extend(heard.waits(attacked, over));
                }
            }
        }
        for waits in &mut waits {
            waits.sort_unstable();
        }
        ensure!(victim.child.try_wait()?.is_none(), "the victim has ended");
        Ok(Outcome {
            attack: self.assault.attack,
            report,
            resident: (before, most.max(victim.resident()?)),
            posted: posted.iter().map(|(_, posted)| posted).sum(),
            lost,
            gaps,
            waits: waits.map(|waits| waits.into_iter().map(Duration::from_micros).collect()),
            seed,
            newcomers,
            gap: gap_told(&statement, PHANTOM, attacked),
            named: statement.named.iter().cloned().collect(),
            charged: statement.charged.clone(),
            counters: statement.counters,
        })
    }
}

/// The victim's seed: a member that has no channel open.
async fn seed(key: &MeshKey, listen: Multiaddr) -> Result<Node> {
    let builder = Node::builder().key(key.clone()).name("seed").listen(listen);
    Ok(builder.dial_members(false).spawn().await?)
}

/// The time that a newcomer is waited for if it comes when the attack has gone on for so long.
fn patience(attack: Attack, rest: Duration) -> Duration {
    match attack {
        // A member that has taken all places from the newcomer's own host keeps it out for as long
        // as it is there.
        Attack::Places => rest + DIALLED_AGAIN,
        _ => GIVEN_UP,
    }
}

/// Waits until each of them has heard the others.
async fn all_hear_all(victim: &mut Victim, amber: &Honest, birch: &Honest) -> Result<()> {
    let (a, b) = (amber.id(), birch.id());
    let hearing = async {
        loop {
            let heard = victim.ask().await?.heard;
            let all = heard.contains_key(&a)
                && heard.contains_key(&b)
                && amber.ear.heard().contains_key(&b)
                && birch.ear.heard().contains_key(&a);
            if all {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    };
    timeout(GIVEN_UP, hearing)
        .await
        .context("they do not hear each other")?
}

/// Waits until everybody was given, or told to miss, all that was posted; but not for ever.
async fn settled(
    victim: &mut Victim,
    members: [&Honest; 2],
    posted: &[(String, u64); 2],
) -> Result<Statement> {
    let start = Instant::now();
    loop {
        let statement = victim.ask().await?;
        let ears = [
            members[0].ear.heard(),
            members[1].ear.heard(),
            statement.heard.clone(),
        ];
        let complete = ears.iter().enumerate().all(|(reader, heard)| {
            let mut others = posted
                .iter()
                .enumerate()
                .filter(|(sender, _)| *sender != reader);
            others.all(|(_, (id, posted))| heard.get(id).is_some_and(|heard| heard.is_at(*posted)))
        });
        if complete || start.elapsed() > SETTLED {
            return Ok(statement);
        }
        sleep(ASKED_AGAIN).await;
    }
}

struct Victim {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    address: Multiaddr,
}

impl Victim {
    async fn start(program: &Path, key: &MeshKey, seed: &Multiaddr) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["victim", &seed.to_string()])
            .env("MESHCAST_KEY", key.to_secret_text())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("piped")?;
        let mut output = BufReader::new(child.stdout.take().context("piped")?).lines();
        let address = output
            .next_line()
            .await?
            .context("it says where it listens")?;
        Ok(Self {
            child,
            input,
            output,
            address: address.parse()?,
        })
    }

    async fn ask(&mut self) -> Result<Statement> {
        self.input.write_all(b"?\n").await?;
        let answer = timeout(GIVEN_UP, self.output.next_line()).await?;
        Ok(serde_json::from_str(
            &answer?.context("the victim has ended")?,
        )?)
    }

    /// Bytes in memory.
    fn resident(&self) -> Result<u64> {
        let id = self.child.id().context("it has ended")?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kib: u64 = kib.context("no figure")?.trim().parse()?;
        Ok(kib * 1024)
    }
}

struct Hostile(Child);

impl Hostile {
    fn start(program: &Path, key: &MeshKey, at: &Multiaddr, assault: &Assault) -> Result<Self> {
        let child = Command::new(program)
            .args(["join", &at.to_string()])
            .args(["--attack", &assault.attack.name()])
            .args(["--seconds", &assault.seconds.to_string()])
            .args(["--logs", &assault.logs.to_string()])
            .env("MESHCAST_KEY", key.to_secret_text())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self(child))
    }

    async fn report(&mut self) -> Result<Report> {
        let output = self.0.stdout.take().context("piped")?;
        let line = BufReader::new(output).lines().next_line().await?;
        self.0.wait().await?;
        Ok(serde_json::from_str(&line.context("it says how it went")?)?)
    }
}

/// The posters, and the victim, in the order in which they are looked at.
const NAMES: [&str; 3] = ["amber", "birch", "the victim"];

/// How long a member is cut off at most.
const CUT: Duration = Duration::from_secs(5);

/// The time before it is cut off in which messages may be on their way.
const MARGIN: Duration = Duration::from_millis(500);

/// How long it may take to have caught up.
const CAUGHT_UP: Duration = Duration::from_secs(3);

/// How often the victim's memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The time after the end in which posts may arrive.
const SETTLED: Duration = Duration::from_secs(60);

/// The interval of looks for that.
const ASKED_AGAIN: Duration = Duration::from_millis(250);

/// How long after one newcomer the next comes.
const BETWEEN: Duration = Duration::from_secs(1);

/// When nobody expects something any more.
const GIVEN_UP: Duration = Duration::from_secs(20);

/// The time within which a node that was refused has dialled its seed again, and is connected: it
/// waits for up to 15 s, and its dial may take 3 s.
const DIALLED_AGAIN: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_kept_out_by_a_crowd_of_its_own_host_is_waited_for_until_that_has_left() {
        for total in [6, 20, 600].map(Duration::from_secs) {
            for came in [1, 3, 5].map(Duration::from_secs) {
                let waited_for = came + patience(Attack::Places, total - came);
                // The longest wait of a dialler, and the longest dial.
                let is_in = total + Duration::from_secs(15 + 3);
                assert!(waited_for >= is_in, "{total:?}, came at {came:?}");
                assert_eq!(patience(Attack::Opens, total - came), GIVEN_UP);
            }
        }
    }
}
