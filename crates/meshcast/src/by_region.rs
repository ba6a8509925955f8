//! Something for each region, whatever members call theirs and however many there are.

use litemap::LiteMap;
use meshcast_proto::Region;

/// One of each for [`MOST`] regions by name, in the order in which they are first asked for, and
/// one for all further ones together. A region is what a member says, so there may be any number.
#[derive(Debug, Clone)]
pub(crate) struct ByRegion<T> {
    named: LiteMap<Region, T>,
    rest: Option<T>,
}

impl<T> ByRegion<T> {
    pub(crate) const fn new() -> Self {
        Self {
            named: LiteMap::new_vec(),
            rest: None,
        }
    }

    /// That of a region, made now if there is none.
    pub(crate) fn get(&mut self, region: &Region) -> &mut T
    where
        T: Default,
    {
        let is_named =
            self.named.contains_key(region) || (self.named.len() < MOST && region.as_str() != REST);
        if !is_named {
            return self.rest.get_or_insert_default();
        }
        self.named.entry(region.clone()).or_default()
    }

    /// Each with the name of its region, by name; [`REST`] is last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        let named = self.named.iter();
        let named = named.map(|(region, each)| (region.as_str(), each));
        named.chain(self.rest.iter().map(|rest| (REST, rest)))
    }

    /// The same of what each is made to.
    pub(crate) fn map<U>(&self, make: impl Fn(&T) -> U) -> ByRegion<U> {
        let named = self.named.iter();
        ByRegion {
            named: named
                .map(|(region, each)| (region.clone(), make(each)))
                .collect(),
            rest: self.rest.as_ref().map(make),
        }
    }
}

impl<T> Default for ByRegion<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// As many as any provider has. Each is a label of a dozen series at most, and of one histogram.
pub(crate) const MOST: usize = 32;

/// What further regions are called together, and one that is called so itself.
pub(crate) const REST: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_beyond_the_limit_are_counted_together_and_none_is_lost() {
        let mut counts = ByRegion::<u32>::new();
        for round in 0..2 {
            for number in 0..100 {
                let region = Region::new(&format!("r{number:02}")).expect("a region");
                *counts.get(&region) += 1;
            }
            *counts.get(&Region::new(REST).expect("a region")) += 1;
            let named: Vec<_> = counts.iter().map(|(name, _)| name).collect();
            assert_eq!((named.len(), named[0]), (MOST + 1, "r00"), "{round}");
            assert_eq!(named[MOST], REST);
        }
        let all: u32 = counts.iter().map(|(_, count)| count).sum();
        assert_eq!(all, 202);
        let rest = counts.iter().last().expect("the rest");
        assert_eq!(rest, (REST, &(2 * (100 - 32 + 1))));
    }
}
