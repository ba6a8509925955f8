use std::time::Duration;

use futures::StreamExt;
use tokio::sync::oneshot;

use super::*;
use crate::{
    Node,
    node::fixture::{Mesh, joined, open, within},
};

const LONG: Duration = Duration::from_secs(20);

fn question<A: Payload, Q: Payload>(
    channel: &BroadcastChannel<String>,
    question: &Q,
    time: Duration,
) -> Answers<A> {
    let ask = channel.ask(question).expect("short");
    ask.within(time).expect("few")
}

/// Two nodes that know of each other that they have the channel open.
async fn pair() -> (
    Node,
    Node,
    BroadcastChannel<String>,
    BroadcastChannel<String>,
) {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open(&a, "earth"), open(&b, "earth"));
    joined(&[&a, &b], "earth").await;
    (a, b, at_a, at_b)
}

async fn only(mut answers: Answers<u32>) -> Result<FromMember<u32>, NoAnswer> {
    let first = within(answers.next()).await.expect("one was asked");
    assert!(
        within(answers.next()).await.is_none(),
        "one alone was asked"
    );
    first
}

async fn reason(answers: Answers<u32>) -> NoAnswerReason {
    only(answers).await.expect_err("no answer").reason().clone()
}

/// A node may not get to say within a second which channels it has. The question is told so then,
/// and another is asked on another channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_on_a_channel_that_was_just_opened_waits_until_others_say_that_they_have_it() {
    let is_untold = |no: &NoAnswer| matches!(no.reason(), NoAnswerReason::Untold);
    let (a, b) = Mesh::new().pair().await;
    for n in 0.. {
        let name = format!("earth {n}");
        let at_b: BroadcastChannel<String> = open(&b, &name);
        let _answering = at_b.on_ask(async |asked: FromMember<u32>| asked.data + 1);
        let at_a: BroadcastChannel<String> = open(&a, &name);
        match only(question(&at_a, &41_u32, LONG)).await {
            Err(no) if is_untold(&no) => {}
            answer => {
                assert_eq!(answer.expect("answers").data, 42);
                break;
            }
        }
    }
    // Of whoever has said that it has it not open there is nothing to wait for.
    for n in 0.. {
        let alone: BroadcastChannel<String> = open(&a, &format!("moon {n}"));
        let mut answers: Answers<u32> = question(&alone, &1_u32, LONG);
        match within(answers.next()).await {
            Some(Err(no)) if is_untold(&no) => {}
            answer => {
                assert!(answer.is_none(), "{answer:?}");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_ends_as_soon_as_all_have_answered_and_says_who_did() {
    let (_a, b, at_a, at_b) = pair().await;
    let answering = at_b.on_ask(async |asked: FromMember<u32>| asked.data + 1);
    let answer = only(question(&at_a, &41_u32, LONG)).await.expect("answers");
    assert_eq!((answer.data, answer.sender()), (42, b.peer_id()));
    // Nobody asks himself.
    let _own = at_a.on_ask(async |asked: FromMember<u32>| asked.data);
    assert_eq!(
        only(question(&at_a, &1_u32, LONG))
            .await
            .expect("answers")
            .data,
        2
    );
    drop(answering);
    let none = reason(question(&at_a, &1_u32, LONG)).await;
    assert!(matches!(none, NoAnswerReason::NoHandler), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_answer_has_its_reason() {
    let (_a, b, at_a, at_b) = pair().await;
    let no_number = {
        let _answering = at_b.on_ask(async |_: FromMember<u32>| "a word".to_owned());
        reason(question(&at_a, &1_u32, LONG)).await
    };
    assert!(
        matches!(no_number, NoAnswerReason::Undecodable(_)),
        "{no_number:?}"
    );
    let answering = at_b.on_ask(async |asked: FromMember<u32>| match asked.data {
        0 => panic!("as asked"),
        1 => std::future::pending().await,
        _ => vec![0_u8; 100_000],
    });
    for failing in [0, 2] {
        let failed = reason(question(&at_a, &failing, LONG)).await;
        assert!(matches!(failed, NoAnswerReason::Failed), "{failed:?}");
    }
    let no_word = reason(question(&at_a, &"a word".to_owned(), LONG)).await;
    assert!(matches!(no_word, NoAnswerReason::Failed), "{no_word:?}");
    let late = reason(question(&at_a, &1_u32, Duration::from_millis(50))).await;
    assert!(matches!(late, NoAnswerReason::TimedOut), "{late:?}");
    let waiting = question(&at_a, &1_u32, LONG);
    let stranger = at_a.ask(&1_u32).expect("short").only(PeerId::random());
    let stranger = reason(stranger.within(LONG).expect("few")).await;
    assert!(matches!(stranger, NoAnswerReason::NotThere), "{stranger:?}");
    drop(answering);
    b.abort().await;
    let gone = reason(waiting).await;
    assert!(matches!(gone, NoAnswerReason::Disconnected), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_tells_those_who_wait() {
    let (a, _b, at_a, at_b) = pair().await;
    let (started, starts) = oneshot::channel();
    let started = std::sync::Mutex::new(Some(started));
    let _answering = at_b.on_ask(move |_: FromMember<u32>| {
        let started = started.lock().expect("whole").take();
        async move {
            started.map(|it| it.send(()));
            std::future::pending::<u32>().await
        }
    });
    let waiting = question::<u32, u32>(&at_a, &1, LONG);
    within(starts).await.expect("it is asked");
    a.abort().await;
    let stopped = within(waiting.all()).await;
    assert!(stopped.has_stopped && !stopped.is_whole && stopped.answers.is_empty());
    let reason = stopped.missing[0].reason();
    assert!(matches!(reason, NoAnswerReason::Stopped), "{reason:?}");
    let late = at_a.ask::<u32, _>(&1_u32).expect("short").within(LONG);
    assert!(matches!(late, Err(QuestionError::Closed)), "{late:?}");
}

/// Nobody was asked is not the same as nobody is there to be asked.
#[tokio::test]
async fn that_the_node_stopped_before_anybody_was_asked_is_told() {
    let alone = crate::node::fixture::alone().await;
    let earth = open(&alone, "earth");
    let nobody = within(question::<u32, u32>(&earth, &1, LONG).all()).await;
    assert!(nobody.is_whole && !nobody.has_stopped && nobody.missing.is_empty());
    // On the one thread of the test the driver takes neither before it waits.
    let waiting = question::<u32, u32>(&earth, &1, LONG);
    earth.hub().end();
    let stopped = within(waiting.all()).await;
    assert!(stopped.has_stopped && !stopped.is_whole);
    assert!(stopped.answers.is_empty() && stopped.missing.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_questions_are_refused_and_those_who_left_make_room() {
    let (_a, _b, at_a, at_b) = pair().await;
    let _answering = at_b.on_ask(async |_: FromMember<u32>| std::future::pending::<u32>().await);
    let ask = || at_a.ask::<u32, _>(&1_u32).expect("short").within(LONG);
    let waiting: Vec<_> = (0..Asks::MAX_ASKING)
        .map(|_| ask().expect("room"))
        .collect();
    assert!(matches!(
        ask(),
        Err(QuestionError::TooMany {
            limit: Asks::MAX_ASKING
        })
    ));
    // The other has sixty-four of a peer at a time, and says so.
    let (mut busy, mut kept) = (0, Vec::new());
    for mut answers in waiting {
        if kept.len() < Asks::MAX_ASKED {
            kept.push(answers);
        } else {
            let busy_one = within(answers.next()).await.expect("one was asked");
            let busy_one = busy_one.expect_err("it has enough").reason().clone();
            assert!(matches!(busy_one, NoAnswerReason::Busy), "{busy_one:?}");
            busy += 1;
        }
    }
    assert_eq!(busy, Asks::MAX_ASKING - Asks::MAX_ASKED);
    drop(kept);
    within(async {
        while ask().is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Tells when it is dropped.
struct Ending(Option<oneshot::Sender<()>>);

impl Drop for Ending {
    fn drop(&mut self) {
        // An error means that the test does not wait for it.
        self.0.take().map(|it| it.send(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_ends_once_nobody_waits_for_its_answer() {
    let (a, _b, at_a, at_b) = pair().await;
    let (told, mut tells) = mpsc::unbounded_channel();
    let _answering = at_b.on_ask(move |_: FromMember<u32>| {
        let (ending, ends) = oneshot::channel();
        let _ = told.send(ends);
        async move {
            let _ending = Ending(Some(ending));
            std::future::pending::<u32>().await
        }
    });
    // Longer than the test waits.
    let ask = || question::<u32, u32>(&at_a, &1, Duration::from_secs(60));
    let waiting: Vec<_> = (0..8).map(|_| ask()).collect();
    let mut handled = Vec::new();
    for _ in &waiting {
        handled.push(within(tells.recv()).await.expect("it is asked"));
    }
    drop(waiting);
    for ends in handled {
        let ended = tokio::time::timeout(Duration::from_secs(20), ends);
        ended.await.expect("soon").expect("it is dropped");
    }
    let waiting = ask();
    let ends = within(tells.recv()).await.expect("it is asked");
    a.abort().await;
    let ended = tokio::time::timeout(Duration::from_secs(20), ends);
    ended.await.expect("soon").expect("it is dropped");
    drop(waiting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn borrowed_questions_bytes_and_values_travel_as_they_do_in_posts() {
    let (_a, _b, at_a, at_b) = pair().await;
    let _answering = at_b.on_ask(async |asked: FromMember<String>| Bytes::from(asked.data));
    let answers = at_a.ask("who?").expect("short").within(LONG).expect("few");
    let all: AllAnswers<Bytes> = within(answers.all()).await;
    assert!(all.missing.is_empty(), "{:?}", all.missing);
    assert_eq!(all.answers[0].data, "who?");
    let long = at_a
        .ask::<u32, _>(&"x".repeat(100_000))
        .expect_err("too long");
    assert!(
        matches!(long, QuestionError::TooLarge { limit: 65_536, .. }),
        "{long:?}"
    );
}
