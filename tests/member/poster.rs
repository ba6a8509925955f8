//! The half of a member that posts.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use meshcast::{BroadcastChannel, Bytes, Node, PostError};
use meshcast_sim::{At, Digest, Event, Name, Span};
use tokio::{
    select,
    sync::mpsc,
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    MAX_SIZE, Options, Order, Said, State, journal::Posts, listener::Listener, say, value,
};
use crate::clock::now;

/// Owns the channel object: the only one of its process, so that the number of a post is how many
/// there were.
pub(super) struct Poster {
    node: Node,
    channel: BroadcastChannel<Bytes>,
    name: Name,
    object: u64,
    posted: u64,
    log: Posts,
    listener: Listener,
    listening: JoinHandle<()>,
}

impl Poster {
    pub(super) fn open(
        node: &Node,
        options: &Options,
        process: Name,
        listener: Listener,
    ) -> Result<Self> {
        let log = Posts::create(&options.log_named("posts"), process)?;
        let (object, name) = (1, Name::from(options.channel.as_str()));
        let channel = node.channel::<Bytes>(&options.channel)?;
        let listening = listener.open(&channel, object, name.clone())?;
        Ok(Self {
            node: node.clone(),
            channel,
            name,
            object,
            posted: 0,
            log,
            listener,
            listening,
        })
    }

    /// Does what it is told until nobody can tell it any more.
    pub(super) async fn obey(mut self, mut orders: mpsc::Receiver<Order>) -> Result<Self> {
        let mut load = None;
        loop {
            let order = select! {
                order = orders.recv() => order,
                size = due(&mut load) => {
                    self.post(size)?;
                    continue;
                }
            };
            match order {
                Some(Order::Rate { per_second, size }) => load = Load::of(per_second, size)?,
                Some(Order::Burst { values, size, wait }) => self.burst(values, size, wait).await?,
                Some(Order::Reopen) => self.reopen().await?,
                // Here, so that what it says counts every post that an earlier order led to.
                Some(Order::State) => say(&Said::State(self.state().await?))?,
                Some(Order::Deaf(_)) => {}
                None => return Ok(self),
            }
        }
    }

    /// Posts a value. `false` if it was refused for want of room.
    pub(super) fn post(&mut self, size: usize) -> Result<bool> {
        let t = now();
        let value = self.write_down(t, size)?;
        match self.channel.post_message(&value) {
            Ok(_) => {
                self.count(t);
                Ok(true)
            }
            Err(PostError::Full { .. }) => {
                self.log.take_back()?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the object. When this returns, all that it was given is written down.
    pub(super) async fn close(&mut self) -> Result<()> {
        let (object, channel) = (self.object, self.name.clone());
        self.channel.close();
        (&mut self.listening).await?;
        self.listener.write(now(), Event::Close { object, channel })
    }

    async fn state(&self) -> Result<State> {
        let snapshot = self.node.inspect().await?;
        Ok(State {
            peers: snapshot.peers.len(),
            counters: serde_json::to_value(snapshot.counters)?,
            ..self.listener.state()
        })
    }

    async fn burst(&mut self, values: u64, size: usize, wait: bool) -> Result<()> {
        let (start, before) = (Instant::now(), self.posted);
        for _ in 0..values {
            if wait {
                let t = now();
                let value = self.write_down(t, size)?;
                self.channel.post_message_wait(&value).await?;
                self.count(t);
            } else {
                self.post(size)?;
            }
        }
        let accepted = self.posted - before;
        say(&Said::Burst {
            accepted,
            refused: values - accepted,
            micros: u64::try_from(start.elapsed().as_micros())?,
        })
    }

    /// Another object takes the place of the one there is.
    async fn reopen(&mut self) -> Result<()> {
        self.close().await?;
        self.object += 1;
        self.channel = self.node.channel::<Bytes>(self.name.as_str())?;
        self.listening = self
            .listener
            .open(&self.channel, self.object, self.name.clone())?;
        Ok(())
    }

    fn write_down(&mut self, t: At, size: usize) -> Result<Bytes> {
        ensure!(
            size <= MAX_SIZE,
            "a value of {size} bytes takes several numbers"
        );
        let number = self.posted + 1;
        let value = value(t, number, size);
        let event = Event::Post {
            object: self.object,
            channel: self.name.clone(),
            seqs: Span::new(number, number),
            hash: Digest::of(&value),
        };
        self.log.write(t, event)?;
        Ok(value)
    }

    fn count(&mut self, t: At) {
        self.posted += 1;
        self.listener.note_post(self.posted, t);
    }
}

/// Values at a rate.
#[derive(Debug)]
struct Load {
    ticks: Interval,
    size: usize,
}

impl Load {
    fn of(per_second: f64, size: usize) -> Result<Option<Self>> {
        if per_second <= 0.0 {
            return Ok(None);
        }
        let mut ticks = interval(Duration::try_from_secs_f64(1.0 / per_second)?);
        // A process that stood still does not make up for it: that would be another load than the
        // one meant.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Some(Self { ticks, size }))
    }
}

/// The size of the next value, when it is due.
async fn due(load: &mut Option<Load>) -> usize {
    match load {
        Some(load) => {
            load.ticks.tick().await;
            load.size
        }
        None => std::future::pending().await,
    }
}
