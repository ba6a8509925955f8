use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use tokio::sync::mpsc;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

use crate::node::fixture::{Mesh, joined, open, within};

/// What a layer sees that sends spans somewhere.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Fields>>>);

/// The fields of a span, its name among them.
#[derive(Debug, Clone, Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        let name = attributes.metadata().name().to_owned();
        fields.0.insert("span".to_owned(), name);
        attributes.record(&mut fields);
        let span = context.span(id).expect("it is new");
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("it is open");
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("it closes");
        let fields = span.extensions().get::<Fields>().cloned();
        self.0.lock().expect("no panic").extend(fields);
    }
}

#[tokio::test]
async fn spans_of_a_message_say_channel_sender_and_number_at_both_ends() {
    let seen = Seen::default();
    let filtered = seen
        .clone()
        .with_filter(tracing_subscriber::filter::filter_fn(|it| {
            it.is_span() && it.target() == super::TARGET
        }));
    let subscriber = tracing_subscriber::registry().with(filtered);
    // Of this thread, which is where these nodes run.
    let _guard = tracing::subscriber::set_default(subscriber);
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    let (called, mut calls) = mpsc::channel(4);
    let once = called.clone();
    let _handler = at_b.on_message(move |message| {
        once.try_send(message.data).expect("room");
    });
    let _awaited = at_b.on_message_async(move |message| {
        let called = called.clone();
        async move { called.send(message.data).await.expect("it is read") }
    });
    joined(&[&a, &b], "earth").await;
    at_a.post_message(&7).expect("posted");
    for _ in 0..2 {
        assert_eq!(within(calls.recv()).await, Some(7));
    }
    within(b.shutdown()).await;
    let seen = seen.0.lock().expect("no panic").clone();
    let channel = at_a.trace_hash();
    let sender = a.peer_id().to_string();
    for (span, times) in [("send", 1), ("deliver", 1), ("handle", 2)] {
        let spans = seen.iter().filter(|fields| fields.0["span"] == span);
        let spans: Vec<_> = spans.collect();
        assert!(spans.len() >= times, "{span}: {seen:?}");
        for Fields(fields) in spans {
            assert_eq!(fields["channel"], channel, "{span}");
            assert_eq!(fields["sender"], sender, "{span}");
            assert_eq!(
                (&*fields["seq"], &*fields["last_seq"]),
                ("1", "1"),
                "{span}"
            );
        }
    }
    let received = seen.iter().find(|fields| fields.0["span"] == "receive");
    let Fields(received) = received.expect("gossip brought it");
    assert_eq!(
        (&received["channel"], &received["sender"]),
        (&channel, &sender)
    );
    assert_eq!(received["from"], sender, "they are connected");
    let posted = seen.iter().find(|fields| fields.0["span"] == "post");
    let Fields(posted) = posted.expect("it was posted");
    assert_eq!((&posted["channel"], &posted["sender"]), (&channel, &sender));
    assert!(
        !format!("{seen:?}").contains("earth"),
        "spans tell no names"
    );
}
