//! Links of a cluster that are cut and mended.

use std::{collections::BTreeSet, time::Duration};

use meshcast::{
    NodeName,
    netem::{Cut, Place},
};

use super::{Cluster, ClusterError, Standing, member::Member};

/// A direction in which nothing passes, other than to or from a node that is paused or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutLink {
    /// Where from.
    pub from: Place,
    /// Where to.
    pub to: Place,
}

impl Cluster {
    /// What is cut.
    pub fn cuts(&self) -> Vec<CutLink> {
        let cuts = self.links.cuts().into_iter();
        let network = cuts.filter(|(from, to, _)| !self.is_about_a_member(from, to));
        network.map(|(from, to, _)| CutLink { from, to }).collect()
    }

    /// Cuts all links between these groups, both ways and silently. A group is nodes and regions by
    /// name; a single one is cut off from all other nodes. Who is in none of several groups still
    /// reaches all of them.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchPlace`], [`ClusterError::NoPartition`].
    pub fn partition<S: AsRef<str>>(&self, groups: &[impl AsRef<[S]>]) -> Result<(), ClusterError> {
        let mut sides: Vec<Vec<Place>> = Vec::new();
        let mut seen = BTreeSet::new();
        for group in groups {
            let names = group.as_ref().iter().map(AsRef::as_ref);
            let places: Vec<_> = names
                .map(|name| self.place(name))
                .collect::<Result<_, _>>()?;
            let members: BTreeSet<_> = places
                .iter()
                .flat_map(|place| self.members_of(place))
                .collect();
            if members.is_empty() {
                return Err(ClusterError::NoPartition(
                    "a side of the partition is empty",
                ));
            }
            if !seen.is_disjoint(&members) {
                return Err(ClusterError::NoPartition(
                    "a node is on two sides of the partition",
                ));
            }
            seen.extend(members);
            sides.push(places);
        }
        if sides.len() == 1 {
            let others = self.members.iter().map(|member| &member.name);
            let others = others.filter(|name| !seen.contains(*name));
            sides.push(others.cloned().map(Place::Node).collect());
        }
        if sides.len() < 2 || sides.iter().any(Vec::is_empty) {
            return Err(ClusterError::NoPartition(
                "there is nobody on the other side",
            ));
        }
        for (i, side) in sides.iter().enumerate() {
            for (a, b) in pairs(side, sides[i + 1..].iter().flatten()) {
                self.links.cut_both(a, b, Cut::Silent);
            }
        }
        Ok(())
    }

    /// The nodes that reach two sides of what is cut, so that messages go around: those to whom and
    /// from whom nothing is cut while something is.
    pub fn go_betweens(&self) -> Vec<NodeName> {
        let cuts = self.cuts();
        if cuts.is_empty() {
            return Vec::new();
        }
        let touched = |member: &Member| {
            let is = |place: &Place| self.members_of(place).contains(&&member.name);
            cuts.iter().any(|cut| is(&cut.from) || is(&cut.to))
        };
        let up = self
            .members
            .iter()
            .filter(|member| member.standing() == Standing::Up);
        up.filter(|member| !touched(member))
            .map(|member| member.name.clone())
            .collect()
    }

    /// Cuts links in one direction, silently: what the one posts does not get to the other that
    /// way.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchPlace`], [`ClusterError::SameNodes`].
    pub fn one_way(&self, from: &str, to: &str) -> Result<(), ClusterError> {
        let (a, b) = (self.place(from)?, self.place(to)?);
        if self.members_of(&a) == self.members_of(&b) {
            return Err(ClusterError::SameNodes(from.to_owned(), to.to_owned()));
        }
        self.links.cut(&a, &b, Cut::Silent);
        Ok(())
    }

    /// Lets nothing pass between two places, in either direction, for a while.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchPlace`].
    pub fn stall(&self, a: &str, b: &str, lasts: Duration) -> Result<(), ClusterError> {
        let (a, b) = (self.place(a)?, self.place(b)?);
        self.links.stall(&a, &b, lasts);
        self.links.stall(&b, &a, lasts);
        Ok(())
    }

    /// Mends all links. Nodes that are paused or down stay so.
    pub fn heal(&self) {
        for CutLink { from, to } in self.cuts() {
            self.links.mend(&from, &to);
        }
    }

    /// Mends what is cut between two places, both ways, whether it was cut between these or between
    /// nodes of them. Cuts between larger places stay.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchPlace`].
    pub fn mend(&self, a: &str, b: &str) -> Result<(), ClusterError> {
        let (a, b) = (self.place(a)?, self.place(b)?);
        let inside = |inner: &Place, outer: &Place| {
            let outer = self.members_of(outer);
            self.members_of(inner)
                .iter()
                .all(|member| outer.contains(member))
        };
        for CutLink { from, to } in self.cuts() {
            if (inside(&from, &a) && inside(&to, &b)) || (inside(&from, &b) && inside(&to, &a)) {
                self.links.mend(&from, &to);
            }
        }
        Ok(())
    }

    /// Whether a cut is there because a node is paused or gone.
    fn is_about_a_member(&self, from: &Place, to: &Place) -> bool {
        let ((Place::Node(name), Place::Everywhere) | (Place::Everywhere, Place::Node(name))) =
            (from, to)
        else {
            return false;
        };
        let mut members = self.members.iter();
        members.any(|member| member.name == *name && member.disconnected)
    }
}

fn pairs<'a>(
    a: &'a [Place],
    b: impl Iterator<Item = &'a Place> + Clone,
) -> impl Iterator<Item = (&'a Place, &'a Place)> {
    a.iter().flat_map(move |a| b.clone().map(move |b| (a, b)))
}
