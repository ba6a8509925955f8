//! Records of TLS 1.3 (RFC 8446, section 5): made and read in place, where they are sent from and
//! where they arrived.

use std::ops::Range;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::ConnectionTrafficSecrets;

/// What is wrong with a record. A side that knows the keys makes none that is wrong, so the
/// connection is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// It does not begin as a record of encrypted data does, or is too long or too short.
    #[error("what arrived is no record")]
    Shape,
    /// It was not made with the keys of this connection, or not next.
    #[error("a record does not decrypt")]
    Decrypt,
    /// A key cannot be used, or cannot seal any more.
    #[error("cannot encrypt")]
    Encrypt,
}

/// What is in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Alert,
    Handshake,
    Data,
}

/// What one side makes its records with, or the other reads them with.
pub(super) struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// The number of the next record.
    next: u64,
}

impl Keys {
    pub(super) fn new(next: u64, secrets: &ConnectionTrafficSecrets) -> Result<Self, RecordError> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(RecordError::Encrypt),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| RecordError::Encrypt)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().map_err(|_| RecordError::Encrypt)?,
            next,
        })
    }

    #[cfg(test)]
    pub(super) fn algorithm(&self) -> &'static aws_lc_rs::aead::Algorithm {
        self.key.algorithm()
    }

    /// The number of records made or read with this key.
    pub(super) const fn used(&self) -> u64 {
        self.next
    }

    /// Makes a record of what stands behind [`HEADER`] bytes of room from `start` to the end.
    pub(super) fn seal(
        &mut self,
        content: Content,
        buffer: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), RecordError> {
        buffer.push(content.code());
        let body = start + HEADER;
        let len = buffer.len() - body + TAG;
        let [high, low] = u16::try_from(len)
            .map_err(|_| RecordError::Shape)?
            .to_be_bytes();
        let header = [OUTER, VERSION[0], VERSION[1], high, low];
        buffer[start..body].copy_from_slice(&header);
        let nonce = self.nonce()?;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut buffer[body..])
            .map_err(|_| RecordError::Encrypt)?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Reads a [whole](record_len) record in place: what is in it, and where.
    pub(super) fn open(
        &mut self,
        record: &mut [u8],
    ) -> Result<(Content, Range<usize>), RecordError> {
        let Some((header, body)) = record.split_first_chunk_mut::<HEADER>() else {
            return Err(RecordError::Shape);
        };
        let nonce = self.nonce()?;
        let inner = self
            .key
            .open_in_place(nonce, Aad::from(*header), body)
            .map_err(|_| RecordError::Decrypt)?;
        // It may be padded with zeros behind the code of its content.
        let end = inner
            .iter()
            .rposition(|byte| *byte != 0)
            .ok_or(RecordError::Shape)?;
        let content = Content::of(inner[end]).ok_or(RecordError::Shape)?;
        match end <= MOST {
            true => Ok((content, HEADER..HEADER + end)),
            false => Err(RecordError::Shape),
        }
    }

    /// Each record has another one, as long as the key is used.
    fn nonce(&mut self) -> Result<Nonce, RecordError> {
        let mut nonce = self.iv;
        for (byte, number) in nonce[NONCE_LEN - 8..]
            .iter_mut()
            .zip(self.next.to_be_bytes())
        {
            *byte ^= number;
        }
        self.next = self.next.checked_add(1).ok_or(RecordError::Encrypt)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

impl Content {
    const fn code(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            21 => Some(Self::Alert),
            22 => Some(Self::Handshake),
            23 => Some(Self::Data),
            _ => None,
        }
    }
}

/// How long the encrypted record is that begins here, with its header. `None` as long as the header
/// is not there.
pub(super) fn record_len(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    let Some(&[outer, major, minor, high, low]) = bytes.first_chunk() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if outer != OUTER || [major, minor] != VERSION || !(TAG + 1..=MOST + 256).contains(&len) {
        return Err(RecordError::Shape);
    }
    Ok(Some(HEADER + len))
}

/// What precedes a record.
pub(super) const HEADER: usize = 5;
/// How many bytes may be in one.
pub(super) const MOST: usize = 16 * 1024;
/// The longest of them: the format allows for more than the cipher adds.
pub(super) const LONGEST: usize = HEADER + MOST + 256;
/// What a cipher adds.
const TAG: usize = 16;
/// All encrypted records say that they are data,
const OUTER: u8 = 23;
/// and of version 1.2.
const VERSION: [u8; 2] = [3, 3];
