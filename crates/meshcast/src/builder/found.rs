//! What the environment and files say of a node where its program does not, and the defaults.

use std::ffi::OsString;

use libp2p::{Multiaddr, multiaddr::Protocol};
use meshcast_proto::{Identity, NodeName, Region, Trust};

use super::{
    Membership, NodeBuilder,
    random::{RandomSource, entropy},
};
use crate::{
    clock::wall_time,
    config::{self, Config, REGION_VARIABLES},
    error::{EnvError, SpawnError},
    key::{MeshKey, file as key_file},
};

impl NodeBuilder {
    /// Takes from the environment what was not set. `variable` looks one up.
    pub(super) fn look_up(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), EnvError> {
        let mut found = Config::default();
        found.read_env(|name| LOOKED_UP.contains(&name).then(|| variable(name)).flatten())?;
        self.identity.name = self.identity.name.take().or(found.name);
        self.identity.key_file = self.identity.key_file.take().or(found.key_file);
        if self.addresses.listen.is_empty() {
            self.addresses.listen = found.listen.into_iter().map(Multiaddr::from).collect();
        }
        if self.addresses.advertise.is_empty() {
            self.addresses.advertise = found.advertise.into_iter().map(Multiaddr::from).collect();
        }
        #[cfg(feature = "admin")]
        {
            self.services.local |= found.local;
        }
        self.addresses.seeds.get_or_insert_with(|| {
            let seeds = found.seeds.into_iter();
            seeds.map(Multiaddr::from).collect()
        });
        Ok(())
    }

    /// The identity of the node and the authorities it believes, and whether others can be of its
    /// mesh: not if no key was given.
    #[cfg_attr(
        not(feature = "admin"),
        expect(
            clippy::unused_async,
            reason = "local nodes are asked by their admin sockets"
        )
    )]
    pub(super) async fn find_membership(
        &self,
        chance: &mut RandomSource,
    ) -> Result<(Membership, bool), SpawnError> {
        if let Some(membership) = self.identity.membership.clone() {
            return Ok((membership, true));
        }
        let said = self.find_key(|name| std::env::var_os(name))?;
        let keyed = said.is_some();
        let key = match said {
            Some(key) => key,
            #[cfg(feature = "admin")]
            None if self.services.local => crate::local::key().await?,
            None => MeshKey::from_entropy(entropy()?),
        };
        let region = self.find_region(|name| std::env::var_os(name))?;
        let name = self.find_name(&region)?;
        let identity = Identity::from_mesh_key(&key, name, region, chance.bytes()?, wall_time());
        let trust = Trust::from(&key);
        Ok((Membership { identity, trust }, keyed))
    }

    /// `variable` looks up an environment variable.
    pub(super) fn find_key(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<MeshKey>, SpawnError> {
        if self.identity.key.is_some() {
            return Ok(self.identity.key.clone());
        }
        let (origin, text) = match &self.identity.key_file {
            Some(path) => (
                format!("key file {}", path.display()),
                key_file::read(path)?,
            ),
            None => match config::text("MESHCAST_KEY", variable)? {
                Some(text) => ("MESHCAST_KEY".to_owned(), text),
                None => return Ok(None),
            },
        };
        text.parse()
            .map(Some)
            .map_err(|reason| SpawnError::Key { origin, reason })
    }

    /// `variable` looks up an environment variable.
    pub(super) fn find_region(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Region, SpawnError> {
        let mut region = self.identity.region.clone();
        for name in REGION_VARIABLES {
            if region.is_none() {
                region = config::text(name, &variable)?;
            }
        }
        Region::new(region.as_deref().unwrap_or("local")).map_err(SpawnError::Region)
    }

    pub(super) fn find_name(&self, region: &Region) -> Result<NodeName, SpawnError> {
        let name = match &self.identity.name {
            Some(name) => name.clone(),
            None => {
                let region = region.to_string();
                // A name is no longer than a region may be, and some of it is the number.
                let kept = region
                    .char_indices()
                    .take_while(|(at, c)| at + c.len_utf8() <= REGION_IN_NAME);
                let region: String = kept.map(|(_, c)| c).collect();
                format!("{region}-{:04x}", u16::from_le_bytes(entropy()?))
            }
        };
        NodeName::new(&name).map_err(SpawnError::Name)
    }
}

pub(super) fn default_addresses(keyed: bool) -> Vec<Multiaddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let tcp = |ip: Protocol<'static>| Multiaddr::empty().with(ip).with(Protocol::Tcp(0));
    if keyed {
        vec![
            tcp(Ipv4Addr::UNSPECIFIED.into()),
            tcp(Ipv6Addr::UNSPECIFIED.into()),
        ]
    } else {
        vec![tcp(Ipv4Addr::LOCALHOST.into())]
    }
}

/// Settings that the environment may have if the code does not; and region and key, which have more
/// places.
const LOOKED_UP: [&str; 7] = [
    "MESHCAST_NAME",
    "MESHCAST_KEY",
    "MESHCAST_KEY_FILE",
    "MESHCAST_LISTEN",
    "MESHCAST_ADVERTISE",
    "MESHCAST_LOCAL",
    "MESHCAST_SEEDS",
];

/// The length of the region in a default name, so that both fit.
const REGION_IN_NAME: usize = 58;
