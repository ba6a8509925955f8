//! Presence: each instance says what it does, and sees who else is there.
//!
//! ```text
//! cargo run -p meshcast-examples --example presence
//! ```
//!
//! Three instances run in this one program; in earnest each is a process with MESHCAST_KEY set.

use meshcast::{BroadcastChannel, MeshKey, Node, Presence, PresenceChange, PresenceChanges};
use serde::{Deserialize, Serialize};

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Doing {
    rooms: u32,
    draining: bool,
}

struct Instance {
    node: Node,
    _lobby: BroadcastChannel<String>,
    presence: Presence<Doing>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (key, mut seeds, mut instances) = (MeshKey::random()?, Vec::new(), Vec::new());
    for region in ["fra", "iad", "nrt"] {
        let builder = Node::builder()
            .name(format!("{region}-1"))
            .region(region)
            .key(key.clone())
            .seeds(seeds.clone());
        let listen = "127.0.0.1:0";
        let node = builder.listen(listen).spawn().await?;
        seeds.extend(node.info().await?.listen_addresses);
        let lobby = node.channel::<String>("lobby")?;
        let presence = lobby.presence::<Doing>();
        presence.set(&Doing {
            rooms: 0,
            draining: false,
        })?;
        instances.push(Instance {
            node,
            _lobby: lobby,
            presence,
        });
    }

    // One watches; it sees the others come and what they say of themselves.
    let watcher = instances[0].presence.clone();
    let mut changes = watcher.changes();
    until(&mut changes, &watcher, |all| {
        all.len() == 3 && all.iter().all(Option::is_some)
    })
    .await?;
    instances[1].presence.set(&Doing {
        rooms: 12,
        draining: true,
    })?;
    until(&mut changes, &watcher, |all| {
        all.iter().flatten().any(|doing| doing.draining)
    })
    .await?;
    // Whoever looks for a place for another room.
    let free = watcher.members().into_iter().filter(|member| {
        let doing = member.state();
        !member.is_silent() && doing.is_some_and(|doing| !doing.draining)
    });
    let free = free.min_by_key(|member| member.state().map(|doing| doing.rooms));
    println!(
        "the next room is opened at {}",
        free.expect("two are").name()
    );

    let last = instances.pop().expect("three");
    last.node.shutdown().await;
    until(&mut changes, &watcher, |all| all.len() == 2).await?;
    for instance in instances {
        instance.node.shutdown().await;
    }
    Ok(())
}

/// Prints what changes until what all say of themselves is like that.
async fn until(
    changes: &mut PresenceChanges<Doing>,
    watcher: &Presence<Doing>,
    is_so: impl Fn(&[Option<Doing>]) -> bool,
) -> anyhow::Result<()> {
    loop {
        let members = watcher.members();
        let all: Vec<_> = members.iter().map(|it| it.state().cloned()).collect();
        if is_so(&all) {
            return Ok(());
        }
        match changes.recv().await {
            Some(PresenceChange::Snapshot(members)) => println!("{} are here", members.len()),
            Some(change) => {
                if let Some(member) = change.member() {
                    let (name, region) = (member.name(), member.region());
                    println!(
                        "{} {name} ({region}): {:?}",
                        change.as_str(),
                        member.state()
                    );
                }
            }
            None => anyhow::bail!("the node has stopped"),
        }
    }
}
