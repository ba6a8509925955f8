//! The answer to a request: which of its frames are believed, and whether an honest peer could have
//! sent it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    identity::{Member, VerifyError},
    wire::{Frame, LogKey},
};

/// The frames of an answer, judged.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// Those that are taken, each with who sent it and the time since it was posted, as far as the
    /// peer knows.
    pub(crate) frames: Vec<(Duration, Arc<Member>, Frame)>,
    /// The first that is too old to be taken, if a member sent it.
    pub(crate) stale: Option<(Frame, Arc<Member>)>,
    /// How many are too old.
    pub(crate) stale_frames: u64,
    /// How many are not believed.
    pub(crate) refused: u64,
    /// Some of these are such as no honest peer hands on.
    pub(crate) is_forged: bool,
}

impl Examined {
    /// Examines what came as frames of this log. `is_stale` says whether one is too old. `verify`
    /// says of each of those that came together, in order, who sent it; one that it says nothing
    /// of is refused.
    pub(crate) fn new(
        (channel, sender): &LogKey,
        came: Vec<(Duration, Bytes)>,
        is_stale: impl Fn(&Frame) -> bool,
        verify: impl FnOnce(&[Frame]) -> Vec<Result<Arc<Member>, VerifyError>>,
    ) -> Self {
        let mut examined = Self::default();
        let (mut ages, mut frames, mut stale) = (Vec::new(), Vec::new(), None);
        for (age, bytes) in came {
            // A copy: one frame that is kept must not keep the whole message that it came in.
            let frame = Frame::decode(Bytes::copy_from_slice(&bytes)).ok();
            let is_its = |frame: &Frame| frame.channel() == channel && frame.sender() == *sender;
            match frame.filter(is_its) {
                Some(frame) if is_stale(&frame) => {
                    examined.stale_frames += 1;
                    stale.get_or_insert(frame);
                }
                Some(frame) => {
                    ages.push(age);
                    frames.push(frame);
                }
                None => {
                    examined.refused += 1;
                    examined.is_forged = true;
                }
            }
        }
        // Also of one that is too old it is said whose it is.
        let fresh = frames.len();
        frames.extend(stale);
        let mut verdicts = verify(&frames).into_iter();
        let stale = frames.split_off(fresh).pop();
        for (age, frame) in ages.into_iter().zip(frames) {
            if let Some(member) = examined.believe(verdicts.next()) {
                examined.frames.push((age, member, frame));
            } else {
                examined.refused += 1;
            }
        }
        if let Some(frame) = stale {
            examined.stale = examined
                .believe(verdicts.next())
                .map(|member| (frame, member));
        }
        examined
    }

    fn believe(
        &mut self,
        verdict: Option<Result<Arc<Member>, VerifyError>>,
    ) -> Option<Arc<Member>> {
        let error = match verdict? {
            Ok(member) => return Some(member),
            Err(error) => error,
        };
        self.is_forged |= error.is_forgery();
        None
    }
}
