//! Accepts connections while the node runs, and bounds what they may take.

use std::{
    convert::Infallible,
    future::Future,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    net::UnixStream,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::Instrument;

use super::{
    Listener, routes,
    shared::{Closing, WATCHES},
};
use crate::{clock::Clock, node::WeakNode, throttle::Throttle};

/// The task that answers. Dropped, it is told to stop as well, and not waited for.
#[derive(Debug)]
pub(crate) struct Serving {
    stop: oneshot::Sender<Infallible>,
    task: JoinHandle<()>,
}

impl Serving {
    pub(crate) fn start(listener: Listener, node: WeakNode, message_limit: usize) -> Self {
        let (stop, stopping) = oneshot::channel();
        // It only ever is dropped.
        let stopping = async { _ = stopping.await };
        let serving = serve(listener, node, message_limit, stopping);
        let task = tokio::spawn(serving.in_current_span());
        Self { stop, task }
    }

    /// Waits until it has stopped.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // An error means that it panicked: no longer serving either.
        _ = self.task.await;
    }
}

/// Answers on `listener` until `stop` is ready, then removes the socket and lets what runs come to
/// its end.
///
/// `message_limit` is the node's limit for one message in bytes. The node is only held while a
/// request is answered, so `stop` must become ready without it: when its last handle is dropped or
/// it is shut down.
///
/// Cancel safe: dropping it cuts all connections and removes the socket.
async fn serve(
    mut listener: Listener,
    node: WeakNode,
    message_limit: usize,
    stop: impl Future<Output = ()> + Send,
) {
    let (close, closing) = Closing::new();
    let router = routes::router(node, message_limit, closing.clone());
    let mut connections = JoinSet::new();
    let (clock, mut troubles) = (Clock::start(), Throttle::<1>::default());
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok(stream) => {
                    connections.spawn(connection(stream, router.clone(), closing.clone()));
                }
                Err(error) => {
                    if let Some(suppressed) = troubles.pass(clock.now()) {
                        tracing::warn!(%error, suppressed, "cannot accept at the admin socket");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    close.send_replace(true);
    let ended = timeout(GRACE, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    if ended.is_err() {
        tracing::debug!(
            open = connections.len(),
            "cut connections to the admin socket"
        );
    }
}

async fn connection(stream: UnixStream, router: Router, closing: Closing) {
    let left = match stream.as_fd().try_clone_to_owned() {
        Ok(stream) => gone(stream),
        Err(error) => {
            return tracing::debug!(%error, "cannot serve a connection to the admin socket");
        }
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = closing.closed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = left => Ok(()),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the admin socket broke");
    }
}

/// Waits until the other side has closed. The server notices by reading, which it does not while it
/// follows a channel and something of the client is still unread.
async fn gone(stream: OwnedFd) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // Asked for nothing, it tells of errors and hang-ups alone.
        let mut asked = [PollFd::new(&stream, PollFlags::empty())];
        let at_once = Timespec::default();
        if poll(&mut asked, Some(&at_once)).is_ok_and(|found| found > 0) {
            return;
        }
    }
}

/// Twice what may watch: there is always room for those that ask and leave. Further ones wait in
/// the socket's backlog.
const CONNECTIONS: usize = 2 * WATCHES;
/// For the head of a request to arrive, also of the next one on a connection that is kept. Programs
/// on the same machine take no time over it, and one that idles longer would hold a place for
/// nothing.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// The memory that a connection may use for a request before its body, and for an answer its reader
/// does not take.
const BUFFER: usize = 64 * 1024;
/// How soon the place of a client that is gone is free at the latest.
const LOOK: Duration = Duration::from_millis(500);
/// When descriptors run out, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For the last answers to be read while the node stops.
const GRACE: Duration = Duration::from_secs(1);
