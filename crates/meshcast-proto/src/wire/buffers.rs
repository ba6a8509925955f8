//! Memory of long frames, used again.
//!
//! A frame is kept for as long as the history has room, so memory for long ones is taken and given
//! back all the time, the oldest first. Allocators hand such large pieces back to the system at
//! once and have it clear new ones, which cost a third of the time of a node that sends values of
//! 64 KiB flat out. So what is given back is kept here for the next frame, 2 MiB of it for
//! the whole process.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::codec::MAX_FRAME_LEN;

/// An empty buffer for so many bytes that was used before, if there is one.
pub fn used(len: usize) -> Option<Vec<u8>> {
    if len < LONG {
        return None;
    }
    let mut buffer = kept().take(len)?;
    buffer.clear();
    Some(buffer)
}

/// An empty buffer for so many bytes, which may be a used one.
pub fn take(len: usize) -> Vec<u8> {
    let new = || {
        let len = if len < LONG {
            len
        } else {
            len.next_multiple_of(STEP)
        };
        Vec::with_capacity(len)
    };
    used(len).unwrap_or_else(new)
}

/// Makes what is in a buffer immutable. Its memory is used again when the last clone is dropped.
pub fn freeze(mut buffer: Vec<u8>) -> Bytes {
    let unused = buffer.capacity() - buffer.len();
    if buffer.capacity() < LONG {
        // It is kept as long as history is, and counted by its length.
        if unused > buffer.len() / 16 {
            buffer.shrink_to_fit();
        }
        return buffer.into();
    }
    if unused <= SLACK && buffer.len() >= LONG {
        return Bytes::from_owner(Used(buffer));
    }
    // It would take much more memory than is counted for it.
    let mut fitting = take(buffer.len());
    fitting.extend_from_slice(&buffer);
    give_back(buffer);
    freeze(fitting)
}

/// Appends room for so many bytes, in a used buffer if it becomes long.
pub fn reserve(buffer: &mut Vec<u8>, more: usize) {
    let len = buffer.len() + more;
    if len <= buffer.capacity() {
        return;
    }
    if len < LONG {
        buffer.reserve_exact(more);
        return;
    }
    let mut longer = take(len);
    longer.extend_from_slice(buffer);
    give_back(mem::replace(buffer, longer));
}

/// Makes a buffer so long. The caller writes over the rest: it may hold bytes of an earlier frame.
pub fn lengthen(buffer: &mut Vec<u8>, len: usize) {
    if len < LONG {
        buffer.resize(len, 0);
        return;
    }
    let mut longer = kept().take(len).unwrap_or_default();
    longer.truncate(len);
    if longer.capacity() < len {
        longer.reserve_exact(len.next_multiple_of(STEP));
    }
    longer.resize(len, 0);
    longer[..buffer.len()].copy_from_slice(buffer);
    give_back(mem::replace(buffer, longer));
}

fn give_back(buffer: Vec<u8>) {
    if buffer.capacity() >= LONG {
        let pushed_out = kept().give_back(buffer);
        // Outside of the lock.
        drop(pushed_out);
    }
}

/// A buffer in use, that is given back.
struct Used(Vec<u8>);

impl AsRef<[u8]> for Used {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        give_back(mem::take(&mut self.0));
    }
}

/// What nobody uses, the oldest first.
#[derive(Debug)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    /// The newest one that is long enough and not much longer: it may still be in a cache.
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let fits = |it: &Vec<u8>| (len..=len + SLACK).contains(&it.capacity());
        let at = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(at);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer, and returns those that make room for it.
    fn give_back(&mut self, buffer: Vec<u8>) -> Vec<Vec<u8>> {
        self.bytes += buffer.capacity();
        self.buffers.push(buffer);
        let mut pushed_out = 0;
        while self.bytes > KEPT
            && let Some(oldest) = self.buffers.get(pushed_out)
        {
            self.bytes -= oldest.capacity();
            pushed_out += 1;
        }
        self.buffers.drain(..pushed_out).collect()
    }
}

fn kept() -> MutexGuard<'static, Kept> {
    static KEPT: Mutex<Kept> = Mutex::new(Kept {
        buffers: Vec::new(),
        bytes: 0,
    });
    // Nothing panics in between.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From which length on allocators hand memory back at once: that of the GNU C library does.
const LONG: usize = 128 * 1024;

/// New buffers have a multiple of this, so that they fit frames of about the same length.
const STEP: usize = 16 * 1024;

/// The room that a frame may leave in its buffer: frames are counted by their length.
const SLACK: usize = 2 * STEP;

/// The bytes that are kept: the frames that wait before a sender that posts as fast as it can, and
/// a few that arrive.
const KEPT: usize = 8 * MAX_FRAME_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests of one process share what is kept, so each has a length of its own.
    #[test]
    fn the_memory_of_a_long_frame_is_used_again_once_nobody_has_it() {
        let len = LONG + 5 * STEP;
        let mut buffer = take(len);
        buffer.resize(len, 7);
        let place = buffer.as_ptr();
        let frame = freeze(buffer);
        assert_eq!((frame.as_ptr(), frame.len()), (place, len));
        let part = frame.slice(100..200);
        drop(frame);
        let other = take(len);
        assert_ne!(other.as_ptr(), place, "a part is in use");
        drop(part);
        let again = take(len - STEP);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn a_frame_takes_no_much_longer_buffer_and_short_ones_take_their_own() {
        let mut buffer = Vec::with_capacity(LONG + 9 * STEP);
        buffer.resize(LONG + STEP, 7);
        let place = buffer.as_ptr();
        let frame = freeze(buffer);
        assert_ne!(frame.as_ptr(), place);
        assert_eq!(frame[..], vec![7; LONG + STEP]);
        let short = take(1000);
        assert_eq!(short.capacity(), 1000);
        let mut almost_empty = take(LONG);
        almost_empty.push(1);
        assert_eq!(freeze(almost_empty)[..], [1]);
    }

    #[test]
    fn a_buffer_grows_with_what_is_in_it() {
        let mut buffer = Vec::new();
        for n in 0..20_u8 {
            reserve(&mut buffer, STEP);
            buffer.extend_from_slice(&[n; STEP]);
        }
        let is_whole = buffer.chunks(STEP).enumerate();
        assert!(is_whole.into_iter().all(|(n, it)| it == [n as u8; STEP]));
    }

    #[test]
    fn a_lengthened_buffer_keeps_what_is_in_it() {
        for len in [100, LONG + 7 * STEP] {
            for _ in 0..3 {
                let mut buffer = vec![9; 50];
                lengthen(&mut buffer, len);
                assert_eq!((buffer.len(), &buffer[..50]), (len, &[9; 50][..]));
                drop(freeze(buffer));
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes() {
        let mut kept = Kept {
            buffers: Vec::new(),
            bytes: 0,
        };
        for n in 0..100 {
            let gone = kept.give_back(Vec::with_capacity(LONG + n));
            assert_eq!(gone.len(), usize::from(n >= KEPT / LONG - 1), "{n}");
        }
        assert!(kept.bytes <= KEPT && kept.bytes > KEPT - 2 * LONG);
        assert_eq!(
            kept.take(LONG + 99).map(|it| it.capacity()),
            Some(LONG + 99)
        );
        assert_eq!(kept.take(LONG).map(|it| it.capacity()), Some(LONG + 98));
        assert!(kept.take(4 * LONG).is_none());
    }
}
