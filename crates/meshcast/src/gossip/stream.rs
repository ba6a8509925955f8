//! RPCs to bytes on a stream and back: each after its length.
//!
//! Frames are long, so they are copied as little as can be: a long one is written from where it
//! lies, and each RPC is read into an allocation of its own, of which the frame then is a part.

use std::{
    io, mem,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use meshcast_proto::{Account, Frame, buffers};

use super::{
    rpc::{self, AFTER},
    topic::Topic,
};

/// The outbound stream with what is on its way into it.
#[derive(Debug)]
pub(super) struct Writer<S> {
    stream: S,
    encoder: Encoder,
    /// How many bytes were written.
    written: u64,
    /// Something is written and not yet flushed.
    unflushed: bool,
}

/// What is said to a peer.
#[derive(Debug)]
pub(super) enum Outgoing {
    Subscriptions(Vec<(Topic, bool)>),
    Frame(Topic, Bytes),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Writer<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            encoder: Encoder::default(),
            written: 0,
            unflushed: false,
        }
    }

    /// Writes all that `next` has, then flushes once. After an error the stream is of no more use.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Option<Outgoing>,
    ) -> io::Result<()> {
        self.poll_hangup(cx)?;
        loop {
            while self.encoder.has_room()
                && let Some(outgoing) = next(cx)
            {
                self.encoder.push(outgoing);
            }
            if self.encoder.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, self.encoder.chunk())? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(n) => {
                    self.encoder.advance(n);
                    self.written += n as u64;
                    self.unflushed = true;
                }
                Poll::Pending => return Ok(()),
            }
        }
        if self.unflushed && Pin::new(&mut self.stream).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    /// How many bytes were written.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Whether the stream does not take all that there is.
    pub(super) fn is_full(&self) -> bool {
        !self.encoder.is_empty()
    }

    /// Notices that the peer dropped the stream while there is nothing to write. The peer never
    /// writes on it.
    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.stream).poll_read(cx, &mut [0])? {
            Poll::Pending => Ok(()),
            Poll::Ready(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Poll::Ready(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Turns what is said into bytes to write. Short frames are gathered into one write; a long one is
/// written from where it lies.
#[derive(Debug, Default)]
struct Encoder {
    gathered: BytesMut,
    /// Goes out after `gathered`, with what follows it.
    long: Bytes,
    after: Option<[u8; AFTER]>,
}

impl Encoder {
    fn push(&mut self, outgoing: Outgoing) {
        debug_assert!(self.has_room(), "pushed behind a long frame");
        match outgoing {
            Outgoing::Subscriptions(changes) => {
                rpc::write_subscriptions(&changes, &mut self.gathered);
            }
            Outgoing::Frame(topic, frame) => {
                rpc::write_before(frame.len(), &mut self.gathered);
                let after = rpc::after(topic);
                if self.gathered.len() + frame.len() <= STEP {
                    self.gathered.extend_from_slice(&frame);
                    self.gathered.extend_from_slice(&after);
                } else {
                    self.long = frame;
                    self.after = Some(after);
                }
            }
        }
    }

    /// The next bytes to write; empty when there are none.
    fn chunk(&self) -> &[u8] {
        if self.gathered.is_empty() {
            &self.long
        } else {
            &self.gathered
        }
    }

    /// Notes that the first `n` bytes of [`chunk`](Self::chunk) are written.
    fn advance(&mut self, n: usize) {
        if !self.gathered.is_empty() {
            self.gathered.advance(n);
            return;
        }
        self.long.advance(n);
        if self.long.is_empty()
            && let Some(after) = self.after.take()
        {
            self.long = Bytes::new();
            self.gathered.extend_from_slice(&after);
        }
    }

    fn has_room(&self) -> bool {
        self.long.is_empty() && self.gathered.len() < STEP
    }

    fn is_empty(&self) -> bool {
        self.chunk().is_empty()
    }
}

/// The inbound stream with what of it has been read.
#[derive(Debug)]
pub(super) struct Reader<S> {
    stream: S,
    decoder: Decoder,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// The account of the peer, which is charged with the bytes that are read.
    pub(super) fn new(stream: S, longest: usize, account: Account) -> Self {
        Self {
            stream,
            decoder: Decoder::new(longest, account),
        }
    }

    /// The next RPC; the one before is done with. Once it has failed the stream is of no more use.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ReadError>> {
        self.decoder.release();
        loop {
            if let Some(rpc) = self.decoder.next_rpc()? {
                return Poll::Ready(Ok(rpc));
            }
            match ready!(Pin::new(&mut self.stream).poll_read(cx, self.decoder.space()))? {
                0 => return Poll::Ready(Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()))),
                n => self.decoder.filled(n),
            }
        }
    }
}

/// Why nothing more is read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// Where the next one begins is unknown.
    #[error("an RPC is longer than {longest} bytes, or its length has no end")]
    TooLong { longest: usize },
    /// The peer may open the stream anew.
    #[error("the peer has no memory left for an RPC of {len} bytes")]
    NoRoom { len: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Turns the bytes that were read into RPCs.
///
/// A length is a claim: for a long RPC there is memory once a part of it has arrived, and it is
/// charged then, until the next one is asked for.
#[derive(Debug)]
struct Decoder {
    longest: usize,
    charge: Charge,
    scratch: Box<[u8]>,
    /// What of `scratch` has been read and not yet decoded.
    unread: Range<usize>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// So many bits of the length are known.
    Length { value: usize, bits: u32 },
    /// So many bytes of the body are there.
    Body {
        body: Vec<u8>,
        there: usize,
        len: usize,
    },
}

const START: State = State::Length { value: 0, bits: 0 };

impl Decoder {
    fn new(longest: usize, account: Account) -> Self {
        Self {
            longest,
            charge: Charge { account, bytes: 0 },
            scratch: vec![0; STEP].into(),
            unread: 0..0,
            state: START,
        }
    }

    /// The RPC that was decoded last is done with.
    fn release(&mut self) {
        if let State::Length { .. } = self.state {
            self.charge.release();
        }
    }

    /// Room to read into. Everything that was read before must be decoded.
    fn space(&mut self) -> &mut [u8] {
        match &mut self.state {
            // It is read to where it stays.
            State::Body { body, there, .. } if body.len() - *there >= STEP => &mut body[*there..],
            _ => &mut self.scratch,
        }
    }

    /// Notes that the first `n` bytes of [`space`](Self::space) have been filled.
    fn filled(&mut self, n: usize) {
        match &mut self.state {
            State::Body { body, there, .. } if body.len() - *there >= STEP => *there += n,
            _ => self.unread = 0..n,
        }
    }

    /// The next whole RPC; `None` once everything that was read is decoded.
    fn next_rpc(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let input = self.scratch.get(self.unread.clone()).unwrap_or_default();
            match &mut self.state {
                State::Length { value, bits } => {
                    let Some(byte) = input.first() else {
                        return Ok(None);
                    };
                    self.unread.start += 1;
                    *value |= usize::from(byte & 0x7f) << *bits;
                    *bits += 7;
                    if *value > self.longest || *bits > LENGTH_BITS {
                        return Err(ReadError::TooLong {
                            longest: self.longest,
                        });
                    }
                    if byte & 0x80 == 0 {
                        self.state = State::Body {
                            body: Vec::new(),
                            there: 0,
                            len: *value,
                        };
                    }
                }
                State::Body { body, there, len } => {
                    let some = input.len().min(*len - *there);
                    if body.len() < *there + some {
                        // The length that was claimed, once a first piece has arrived.
                        let claimed = if body.is_empty() { STEP } else { *len };
                        if claimed > STEP && !self.charge.try_hold(*len) {
                            return Err(ReadError::NoRoom { len: *len });
                        }
                        buffers::lengthen(body, claimed.min(*len));
                    }
                    body[*there..*there + some].copy_from_slice(&input[..some]);
                    self.unread.start += some;
                    *there += some;
                    if *there < *len {
                        return Ok(None);
                    }
                    let rpc = buffers::freeze(mem::take(body));
                    self.state = START;
                    return Ok(Some(rpc));
                }
            }
        }
    }
}

/// What a long RPC is charged with. A short one takes no more than what is there to read into.
#[derive(Debug)]
struct Charge {
    account: Account,
    bytes: usize,
}

impl Charge {
    /// So many bytes are held; `false` if the peer has no room for them.
    fn try_hold(&mut self, bytes: usize) -> bool {
        self.release();
        if bytes <= ALWAYS {
            self.account.charge(bytes);
        } else if !self.account.try_charge(bytes) {
            return false;
        }
        self.bytes = bytes;
        true
    }

    fn release(&mut self) {
        if self.bytes > 0 {
            self.account.release(mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release();
    }
}

/// An RPC of this length always has room: one with the longest frame. Nodes send no longer ones, so
/// a peer whose share is used up is heard all the same, frame by frame.
const ALWAYS: usize = Frame::MAX_LEN + 256;

/// Bytes read or gathered at once.
const STEP: usize = 16 * 1024;

/// No length has more: that of the longest RPC has 21.
const LENGTH_BITS: u32 = 28;

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, task::Waker};

    use meshcast_proto::{Budget, Payer};
    use proptest::prelude::*;

    use super::{
        super::rpc::{Rpc, Said},
        *,
    };

    const LONGEST: usize = 1024 * 1024;

    fn topic() -> Topic {
        Topic::named(&[b'7'; 32]).expect("one")
    }

    /// Takes and gives at most `step` bytes at a time.
    #[derive(Debug, Default)]
    struct Pipe {
        step: usize,
        bytes: VecDeque<u8>,
        writes: usize,
        flushes: usize,
        ended: bool,
    }

    impl AsyncRead for Pipe {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.ended && self.bytes.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let n = into.len().min(self.step).min(self.bytes.len());
            if n == 0 {
                return Poll::Pending;
            }
            let some = self.bytes.drain(..n);
            into.iter_mut().zip(some).for_each(|(to, from)| *to = from);
            Poll::Ready(Ok(n))
        }
    }

    /// What is only written.
    #[derive(Debug, Default)]
    struct Sink(Pipe);

    impl AsyncRead for Sink {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.0.ended {
                Poll::Ready(Ok(0))
            } else {
                Poll::Pending
            }
        }
    }

    impl AsyncWrite for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(self.0.step);
            self.0.writes += 1;
            self.0.bytes.extend(&bytes[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(step: usize, frames: &[Bytes]) -> Pipe {
        let mut writer = Writer::new(Sink(Pipe {
            step,
            ..Pipe::default()
        }));
        let mut frames = frames.iter().cloned();
        let cx = &mut Context::from_waker(Waker::noop());
        let next = |_: &mut Context<'_>| Some(Outgoing::Frame(topic(), frames.next()?));
        writer.poll(cx, next).expect("written");
        writer.stream.0
    }

    const PEER: Payer = Payer::Member([7; 32]);

    fn reader(pipe: Pipe, budget: &Budget) -> Reader<Pipe> {
        Reader::new(pipe, LONGEST, budget.account(PEER))
    }

    fn read(mut pipe: Pipe, step: usize) -> Vec<Bytes> {
        pipe.step = step;
        pipe.ended = true;
        let (mut reader, mut heard) = (reader(pipe, &Budget::default()), Vec::new());
        let cx = &mut Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(rpc)) = reader.poll(cx) {
            for said in Rpc::new(rpc) {
                match said {
                    Said::Published(Some(on), frame) if on == topic() => heard.push(frame),
                    other => panic!("{other:?}"),
                }
            }
        }
        heard
    }

    proptest! {
        #[test]
        fn frames_arrive_whatever_the_cuts_between_writes_and_reads(
            lens in prop::collection::vec(
                prop_oneof![0..200_usize, 15_000..17_000_usize, 60_000..140_000_usize], 0..12),
            writes in prop_oneof![1..50_usize, 10_000..100_000_usize],
            reads in prop_oneof![1..50_usize, 10_000..100_000_usize],
        ) {
            let frame = |(n, len): (usize, &usize)| Bytes::from(vec![n as u8; *len]);
            let frames: Vec<_> = lens.iter().enumerate().map(frame).collect();
            prop_assert_eq!(read(write(writes, &frames), reads), frames);
        }
    }

    #[test]
    fn short_frames_take_one_write_and_a_long_one_is_not_gathered() {
        let pipe = write(usize::MAX, &vec![Bytes::from_static(&[1; 96]); 100]);
        assert_eq!((pipe.writes, pipe.flushes), (1, 1));
        let pipe = write(usize::MAX, &vec![Bytes::from_static(&[1; 100_000]); 3]);
        // The three frames, and the bytes before, between and after them.
        assert_eq!((pipe.writes, pipe.flushes), (7, 1));
    }

    #[test]
    fn who_lets_go_is_noticed_with_nothing_to_write() {
        let mut writer = Writer::new(Sink(Pipe {
            ended: true,
            ..Pipe::default()
        }));
        let end = writer.poll(&mut Context::from_waker(Waker::noop()), |_| None);
        assert_eq!(
            end.map_err(|error| error.kind()),
            Err(io::ErrorKind::UnexpectedEof)
        );
    }

    #[test]
    fn an_rpc_that_is_too_long_is_refused_and_a_claim_takes_no_memory() {
        let poll = |bytes: &[u8]| {
            let pipe = Pipe {
                step: usize::MAX,
                bytes: bytes.iter().copied().collect(),
                ..Pipe::default()
            };
            let mut reader = reader(pipe, &Budget::default());
            let polled = reader.poll(&mut Context::from_waker(Waker::noop()));
            let State::Body { body, .. } = reader.decoder.state else {
                return (polled, 0);
            };
            (polled, body.capacity())
        };
        let (one_mib, over) = ([0x80, 0x80, 0x40], [0x81, 0x80, 0x40]);
        let endless = [0x80; 20];
        for refused in [&over[..], &endless] {
            assert!(matches!(
                poll(refused),
                (Poll::Ready(Err(ReadError::TooLong { .. })), _)
            ));
        }
        assert!(matches!(poll(&one_mib), (Poll::Pending, 0)));
        let begun = [&one_mib[..], &[7; 100]].concat();
        assert!(matches!(poll(&begun), (Poll::Pending, 100..=STEP)));
    }

    /// Gives the first so many bytes of an RPC of this length.
    fn part_of(len: usize, there: usize) -> Pipe {
        let mut bytes = VecDeque::new();
        let mut rest = len;
        while rest >= 0x80 {
            bytes.push_back(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        bytes.push_back(rest.to_le_bytes()[0]);
        bytes.extend(vec![0; there]);
        Pipe {
            step: usize::MAX,
            bytes,
            ..Pipe::default()
        }
    }

    #[test]
    fn a_long_rpc_is_charged_to_the_peer_from_its_second_piece_until_it_is_done_with() {
        let budget = Budget::default();
        let cx = &mut Context::from_waker(Waker::noop());
        let len = 200_000;
        let mut claimed = reader(part_of(len, 10), &budget);
        assert!(claimed.poll(cx).is_pending());
        assert_eq!(budget.used(), 0, "a claim takes nothing");
        let mut slow = reader(part_of(len, 3 * STEP), &budget);
        assert!(slow.poll(cx).is_pending());
        assert_eq!(budget.statement(PEER).used, len);
        slow.stream.bytes.extend(vec![0; len - 3 * STEP]);
        let Poll::Ready(Ok(rpc)) = slow.poll(cx) else {
            panic!("it is whole");
        };
        assert_eq!((rpc.len(), budget.used()), (len, len));
        assert!(slow.poll(cx).is_pending());
        assert_eq!(budget.used(), 0, "the next one is waited for");
        // It goes with its connection.
        let mut broken = reader(part_of(len, len - 1), &budget);
        assert!(broken.poll(cx).is_pending());
        assert_eq!(budget.used(), len);
        drop(broken);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_peer_without_room_is_heard_frame_by_frame_and_brings_no_longer_rpc() {
        let budget = Budget::new(16 * LONGEST);
        let cx = &mut Context::from_waker(Waker::noop());
        let all = budget.room(PEER);
        assert!(budget.try_charge(PEER, all));
        let longest = ALWAYS;
        let read = reader(part_of(longest, longest), &budget).poll(cx);
        assert!(matches!(read, Poll::Ready(Ok(rpc)) if rpc.len() == longest));
        let mut longer = reader(part_of(longest + 1, longest), &budget);
        let refused = longer.poll(cx);
        assert!(matches!(
            refused,
            Poll::Ready(Err(ReadError::NoRoom { .. }))
        ));
        drop(longer);
        assert_eq!((budget.used(), budget.refused()), (all, 1));
    }
}
