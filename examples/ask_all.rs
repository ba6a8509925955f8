//! Ask every instance at once: how many sessions each holds, and who of them knows a user.
//!
//! ```text
//! cargo run -p meshcast-examples --example ask_all
//! ```
//!
//! Three instances run in this one program; in earnest each is a process with MESHCAST_KEY set.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use meshcast::{
    BroadcastChannel, MeshKey, Node,
    ask::{Answering, FromMember},
};
use serde::{Deserialize, Serialize};

/// What instances ask each other.
#[derive(Serialize, Deserialize)]
enum Question {
    HowMany,
    WhereIs(String),
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Sessions(usize),
    Room(Option<String>),
}

/// The users that one instance serves, and the room each is in.
type Sessions = Arc<BTreeMap<String, String>>;

/// Answers what others ask of an instance, as long as what it returns is kept.
fn answer(channel: &BroadcastChannel<Question>, sessions: Sessions) -> Answering<Question> {
    channel.on_ask(move |asked: FromMember<Question>| {
        let sessions = Arc::clone(&sessions);
        async move {
            match asked.data {
                Question::HowMany => Answer::Sessions(sessions.len()),
                Question::WhereIs(user) => Answer::Room(sessions.get(&user).cloned()),
            }
        }
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let key = MeshKey::random()?;
    let (mut nodes, mut channels, mut answering, mut seeds) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let users = [vec!["ada", "alan"], vec!["grace"], vec![]];
    for (region, users) in ["fra", "iad", "nrt"].into_iter().zip(users) {
        let builder = Node::builder()
            .region(region)
            .key(key.clone())
            .seeds(seeds.clone());
        let node = builder.listen("127.0.0.1:0").spawn().await?;
        node.ready().await?;
        seeds.extend(node.listen_addresses());
        let channel = node.channel::<Question>("sessions")?;
        let rooms = users
            .into_iter()
            .map(|user| (user.to_owned(), format!("{user}'s room")));
        answering.push(answer(&channel, Arc::new(rooms.collect())));
        channels.push(channel);
        nodes.push(node);
    }

    let (here, within) = (&channels[2], Duration::from_secs(2));
    let mut answers = here.ask::<Answer, _>(&Question::HowMany)?.within(within)?;
    let (mut total, mut missing) = (0, 0);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => {
                println!("{}: {:?}", answer.region(), answer.data);
                if let Answer::Sessions(count) = answer.data {
                    total += count;
                }
            }
            // Missing answers are told, so a total that is not complete is not taken for one.
            Err(none) => {
                println!("{none}");
                missing += 1;
            }
        }
    }
    println!("{total} sessions, {missing} instances missing");
    anyhow::ensure!((total, missing) == (3, 0), "all of them answer");

    // The first that knows is enough: dropping the rest withdraws the question.
    let question = Question::WhereIs("grace".to_owned());
    let mut answers = here.ask::<Answer, _>(&question)?.within(within)?;
    while let Some(answer) = answers.next().await {
        if let Ok(FromMember {
            data: Answer::Room(Some(room)),
            ..
        }) = answer
        {
            println!("grace is in {room}");
            break;
        }
    }
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}
