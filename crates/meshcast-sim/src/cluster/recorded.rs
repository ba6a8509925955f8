//! What the nodes of a cluster do on the channel that is written down.

use std::time::Duration;

use meshcast::{Bytes, PostError};

use super::{Cluster, ClusterError, NotAgreed, PostFailed, member::State};
use crate::log::Since;

impl Cluster {
    /// Posts up to 60,000 bytes at a node on the channel that is
    /// [recorded](super::ClusterBuilder::record), and writes it down.
    ///
    /// # Errors
    /// [`PostFailed`]; nothing was posted.
    pub fn post(&self, name: &str, data: impl Into<Bytes>) -> Result<(), PostFailed> {
        let member = self.member(name)?;
        let recorder = member.recorder.as_ref().ok_or(PostError::Closed)?;
        Ok(recorder.post(data.into())?)
    }

    /// From when on a node hears what is [recorded](super::ClusterBuilder::record), from its next
    /// start on: what is posted after it, if nothing else is said.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`].
    pub fn hear_since(&mut self, name: &str, since: Since) -> Result<(), ClusterError> {
        self.member_mut(name)?.since = since;
        Ok(())
    }

    /// Closes the channel that is recorded at a node, if it is open.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`].
    pub fn close(&mut self, name: &str) -> Result<(), ClusterError> {
        if let Some(recorder) = &mut self.member_mut(name)?.recorder {
            recorder.close();
        }
        Ok(())
    }

    /// Opens it again at a node that runs, if it is closed.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`], [`ClusterError::Open`].
    pub fn open(&mut self, name: &str, since: Since) -> Result<(), ClusterError> {
        let member = self.member_mut(name)?;
        if let (State::Up(node), Some(recorder)) = (&member.state, &mut member.recorder) {
            recorder.open(node, since)?;
        }
        Ok(())
    }

    /// Makes one more object of it at a node that has it open, which hears what was before, too.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`], [`ClusterError::Open`].
    pub fn look_back(&mut self, name: &str, since: Since) -> Result<(), ClusterError> {
        let member = self.member_mut(name)?;
        if let (State::Up(node), Some(recorder)) = (&member.state, &mut member.recorder) {
            recorder.look_back(node, since)?;
        }
        Ok(())
    }

    /// Has the readers of what is recorded at a node, if it runs, read on, or leave what comes
    /// where it is.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchNode`].
    pub fn read(&self, name: &str, reads: bool) -> Result<(), ClusterError> {
        if let Some(recorder) = &self.member(name)?.recorder {
            recorder.read(reads);
        }
        Ok(())
    }

    /// Waits until all nodes that run have all that those that run posted while they had the
    /// channel open, and the same of those that do not run any more. At once if nothing is
    /// recorded.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`NotAgreed`] says who lacks what when the time is over.
    pub async fn agree(&self, limit: Duration) -> Result<(), NotAgreed> {
        match &self.journal {
            Some(journal) => journal.agree(limit).await,
            None => Ok(()),
        }
    }

    /// Writes down that the faults are over: from now on all nodes that run can reach each other.
    pub fn calm(&self) {
        if let Some(journal) = &self.journal {
            journal.calm();
        }
    }
}
