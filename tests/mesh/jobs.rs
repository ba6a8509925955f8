//! Processes that end right after they have posted.

use std::process::Command;

use meshcast::Node;

use crate::harness::{PATIENCE, Process, new_key};

/// Runs jobs one after another, each of which posts so many numbers, and hears them all.
async fn all_arrive(ending: &str, jobs: u32, messages: u32) {
    let key = new_key();
    let listen = "127.0.0.1:0";
    let node = Node::builder()
        .name("stays")
        .key(key.clone())
        .listen(listen);
    let node = node.spawn().await.expect("starts");
    let seed = node.info().await.expect("runs").listen_addresses.remove(0);
    let mut heard = node.channel::<u32>("jobs").expect("opens").messages();
    for _ in 0..jobs {
        let mut job = Command::new(env!("CARGO_BIN_EXE_job"));
        job.args([&seed.to_string(), &messages.to_string(), ending]);
        job.env("MESHCAST_KEY", key.to_secret_text());
        let (status, _, stderr) = Process::start(job).end(PATIENCE);
        assert!(status.success(), "{stderr}");
        for n in 0..messages {
            let next = tokio::time::timeout(PATIENCE, heard.recv()).await;
            let message = next
                .expect("all arrive")
                .expect("the node runs")
                .expect("no gap");
            assert_eq!(message.data, n, "{ending}");
        }
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_posted_right_before_main_returns_arrives() {
    all_arrive("drop", 10, 5).await;
    all_arrive("drop", 2, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_does_on_a_runtime_with_one_thread() {
    all_arrive("one-thread", 5, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_does_if_the_runtime_ended_before() {
    all_arrive("outside", 5, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_does_if_the_last_handle_is_dropped_in_a_handler() {
    all_arrive("handler", 5, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_flushed_has_arrived_however_the_process_ends() {
    all_arrive("flush", 5, 100).await;
}
