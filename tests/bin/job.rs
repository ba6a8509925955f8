//! `job SEED MESSAGES ENDING`: posts numbers on the channel `jobs` and returns from main at once,
//! without waiting for anything. `ENDING` is what is left to do that: `drop`, in asynchronous code;
//! `one-thread`, the same on a runtime of one thread; `outside`, after the runtime has ended;
//! `handler`, in a handler; `flush`, after it has waited for that.

use meshcast::{Node, NodeBuilder};
use tokio::runtime::Builder;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(seed), Some(messages), Some(ending)) = (args.next(), args.next(), args.next()) else {
        anyhow::bail!("job SEED MESSAGES ENDING");
    };
    let (builder, messages) = (Node::builder().seed(seed), messages.parse()?);
    let runtime = match ending.as_str() {
        "one-thread" => Builder::new_current_thread().enable_all().build()?,
        _ => Builder::new_multi_thread().enable_all().build()?,
    };
    match ending.as_str() {
        "outside" => {
            let node = runtime.block_on(post(builder, messages))?;
            drop(runtime);
            drop(node);
        }
        "handler" => runtime.block_on(async {
            let node = post(builder, messages).await?;
            let (trigger, told) = (node.channel("trigger")?, node.channel("trigger")?);
            let (done, dropped) = tokio::sync::oneshot::channel();
            let mut parts = Some((node, done));
            let _heard = told.on_message(move |_: meshcast::Message<u32>| {
                if let Some((node, done)) = parts.take() {
                    drop(node);
                    // The other end waits.
                    let _ = done.send(());
                }
            });
            trigger.post_message(&0)?;
            anyhow::Ok(dropped.await?)
        })?,
        "flush" => {
            let flushing = async {
                let node = post(builder, messages).await?;
                let flushed = node.flush().await?;
                anyhow::ensure!(flushed.is_complete(), "{flushed}");
                Ok(node)
            };
            let _node = runtime.block_on(flushing)?;
            // Without a word to anybody.
            std::process::exit(0);
        }
        _ => drop(runtime.block_on(post(builder, messages))?),
    }
    Ok(())
}

async fn post(builder: NodeBuilder, messages: u32) -> anyhow::Result<Node> {
    let node = builder.spawn().await?;
    let channel = node.channel("jobs")?;
    for n in 0..messages {
        channel.post_message(&n)?;
    }
    Ok(node)
}
