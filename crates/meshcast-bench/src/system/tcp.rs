//! Bytes over TCP: the limit of what a machine can do, in the clear or encrypted.
//!
//! The publisher listens and writes to each subscriber. Messages have their length in front and
//! gather in blocks of up to 64 KiB, which are written when full or flushed.

use std::{io, net::Ipv4Addr};

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, BufMut as _, BytesMut};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::Node;
use crate::{
    protocol::{Payload, Spec},
    stamp::Stamp,
    tally::SharedTally,
};

/// The publisher with its subscribers, or a subscriber with its publisher.
#[derive(Debug)]
pub(crate) struct Tcp<const SEALED: bool> {
    /// Where subscribers come in, at the publisher.
    listener: Option<TcpListener>,
    streams: Vec<TcpStream>,
    /// Out: the block being gathered. In: what was read and not taken yet.
    buffer: BytesMut,
    payload: Vec<u8>,
    key: LessSafeKey,
    blocks: u64,
}

impl<const SEALED: bool> Node for Tcp<SEALED> {
    async fn open(spec: &Spec, _tally: &SharedTally) -> Result<Self> {
        let Payload::Bytes(size) = spec.payload else {
            bail!("TCP carries bytes");
        };
        let (mut listener, mut streams) = (None, Vec::new());
        match spec.peers.first() {
            None => listener = Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?),
            Some(publisher) => streams.push(TcpStream::connect(publisher).await?),
        }
        streams
            .iter()
            .try_for_each(|stream| stream.set_nodelay(true))?;
        // Both sides are ours and the bytes are nothing secret: any key does.
        let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32])?;
        Ok(Self {
            listener,
            streams,
            buffer: BytesMut::with_capacity(2 * BLOCK),
            payload: vec![0; size],
            key: LessSafeKey::new(key),
            blocks: 0,
        })
    }

    fn address(&self) -> String {
        let address = self.listener.as_ref().and_then(|it| it.local_addr().ok());
        address.map_or_else(String::new, |address| address.to_string())
    }

    async fn publish(&mut self, stamp: Stamp) -> Result<()> {
        if self.buffer.len() + self.payload.len() + 2 * LENGTH > BLOCK {
            self.flush().await?;
        }
        if self.buffer.is_empty() {
            // The length of the block, filled in when it is known.
            self.buffer.put_u32(0);
        }
        stamp.write(&mut self.payload);
        self.buffer.put_u32(self.payload.len() as u32);
        self.buffer.put_slice(&self.payload);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if SEALED {
            let block = &mut self.buffer[LENGTH..];
            let nonce = nonce(self.blocks);
            self.blocks += 1;
            let tag = self
                .key
                .seal_in_place_separate_tag(nonce, Aad::empty(), block)?;
            self.buffer.put_slice(tag.as_ref());
        }
        let length = (self.buffer.len() - LENGTH) as u32;
        self.buffer[..LENGTH].copy_from_slice(&length.to_be_bytes());
        for stream in &mut self.streams {
            stream.write_all(&self.buffer).await?;
        }
        self.buffer.clear();
        Ok(())
    }

    async fn receive(&mut self, tally: &SharedTally) -> Result<()> {
        if let Some(listener) = &self.listener {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            self.streams.push(stream);
            return Ok(());
        }
        let stream = self.streams.first_mut().context("no publisher")?;
        self.buffer.reserve(BLOCK);
        if stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut tally = tally.lock();
        while let Some(length) = self.buffer.first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            if self.buffer.len() < LENGTH + length {
                break;
            }
            self.buffer.advance(LENGTH);
            let mut block = self.buffer.split_to(length);
            let mut messages = if SEALED {
                let nonce = nonce(self.blocks);
                self.blocks += 1;
                &*self.key.open_in_place(nonce, Aad::empty(), &mut block)?
            } else {
                &block
            };
            while messages.has_remaining() {
                let length = messages.get_u32() as usize;
                tally.payload(&messages[..length]);
                messages.advance(length);
            }
        }
        Ok(())
    }
}

fn nonce(block: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&block.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

const LENGTH: usize = 4;

/// A block is written before it would grow over this, unless it holds a single longer message.
const BLOCK: usize = 64 * 1024;
