//! A node of a cluster: one name, and the processes that have it one after the other.

use meshcast::{
    Multiaddr, Node, NodeName, Region,
    netem::{Cut, Links, Place},
};

use super::{Standing, journal::Recorder};
use crate::log::Since;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: NodeName,
    pub(super) region: Region,
    pub(super) state: State,
    /// The listen address of its process, if there is one.
    pub(super) addresses: Vec<Multiaddr>,
    /// Nothing gets to it or from it.
    pub(super) disconnected: bool,
    pub(super) starts: u32,
    pub(super) recorder: Option<Recorder>,
    /// From when on its processes hear what is recorded.
    pub(super) since: Since,
}

#[derive(Debug)]
pub(super) enum State {
    Up(Node),
    Down,
}

impl Member {
    pub(super) const fn new(name: NodeName, region: Region) -> Self {
        Self {
            name,
            region,
            state: State::Down,
            addresses: Vec::new(),
            disconnected: false,
            starts: 0,
            recorder: None,
            since: Since::Now,
        }
    }

    pub(super) const fn node(&self) -> Option<&Node> {
        match &self.state {
            State::Up(node) => Some(node),
            State::Down => None,
        }
    }

    pub(super) fn take(&mut self) -> Option<Node> {
        match std::mem::replace(&mut self.state, State::Down) {
            State::Up(node) => Some(node),
            State::Down => None,
        }
    }

    pub(super) const fn standing(&self) -> Standing {
        match (&self.state, self.disconnected) {
            (State::Up(_), false) => Standing::Up,
            (State::Up(_), true) => Standing::Paused,
            (State::Down, _) => Standing::Down,
        }
    }

    pub(super) fn disconnect(&mut self, links: &Links) {
        self.disconnected = true;
        links.cut_both(
            &Place::Node(self.name.clone()),
            &Place::Everywhere,
            Cut::Silent,
        );
    }

    pub(super) fn connect(&mut self, links: &Links) {
        if std::mem::take(&mut self.disconnected) {
            let here = Place::Node(self.name.clone());
            links.mend(&here, &Place::Everywhere);
            links.mend(&Place::Everywhere, &here);
        }
    }
}
