//! Identifiers, parsed once at the edge so that the rest of the planner can trust them.

use std::fmt;
use std::str::FromStr;

/// Why a text is not the identifier that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidId {
    /// The text that was refused.
    pub text: String,
    /// What would have been accepted.
    pub expected: &'static str,
}

/// The id of a Redis Cluster node: 40 lower-case hexadecimal characters, made by the node itself and kept in its
/// `nodes.conf` for as long as that file lives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// The id as Redis writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { text: text.to_owned(), expected: "a node id of 40 hexadecimal characters" })
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[..8])
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes a name that its source (the Kubernetes API or a Redis server) has already checked.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type! {
    /// The name of a pod, `<cluster>-<ordinal>`.
    PodName
}
name_type! {
    /// The unique id that the API server gave an object; a re-created namesake has another one.
    Uid
}
name_type! {
    /// The name of the Kubernetes node on which a pod runs.
    HostName
}
name_type! {
    /// The value of `topology.kubernetes.io/zone` of a Kubernetes node.
    ZoneName
}
name_type! {
    /// The `run_id` of a Redis process; a restart makes a new one.
    RunId
}

impl PodName {
    /// The ordinal behind the last dash: `demo-4` is 4. Ordinals name pods and volumes; they never decide a role.
    pub fn ordinal(&self) -> Option<u32> {
        self.0.rsplit_once('-')?.1.parse().ok()
    }
}

/// The number of a shard, from 0, as pod labels and budgets carry it. It says nothing about slots.
pub type ShardNumber = i32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_are_forty_lower_case_hex_characters() {
        assert!("07c37dfeb235213a872192d90877d0cd55635b91".parse::<NodeId>().is_ok());
        for wrong in [
            "",
            "07c3",
            "07C37DFEB235213A872192D90877D0CD55635B91",
            "zzc37dfeb235213a872192d90877d0cd55635b91",
        ] {
            assert!(wrong.parse::<NodeId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_ordinal_stands_behind_the_last_dash() {
        assert_eq!(PodName::new("a-1-12").ordinal(), Some(12));
        assert_eq!(PodName::new("a").ordinal(), None);
        assert_eq!(PodName::new("a-x").ordinal(), None);
    }
}
