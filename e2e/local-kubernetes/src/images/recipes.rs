//! The list of images: their names, and for Redis and Valkey the Debian suite that has the version.

use anyhow::{Result, bail};

/// Raise it when the way in which root filesystems or images are made changes: older ones in the
/// cache are then made again.
pub const GENERATION: &str = "1";

pub const PAUSE: &str = "localhost/pause:local";

/// A program of this workspace that gets an image of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// The short name, used on the command line.
    pub name: &'static str,
    /// The name of the image in the cluster.
    pub reference: &'static str,
    pub binary: &'static str,
    /// How cargo builds it. Tools of tests are built as the tests are: their dependencies are there then.
    pub flags: &'static [&'static str],
}

pub const PROGRAMS: [Program; 2] = [
    Program {
        name: "keyslot",
        reference: "localhost/keyslot:dev",
        binary: "keyslot-operator",
        flags: &["--release", "--package", "keyslot-operator"],
    },
    Program {
        name: "keyslot-client",
        reference: "localhost/keyslot-client:dev",
        binary: "keyslot-client",
        flags: &["--workspace"],
    },
];

impl Program {
    /// Finds a program by either name of its image.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROGRAMS.iter().find(|program| program.name == name || program.reference == name)
    }
}

/// A server that is made of Debian packages.
#[derive(Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The short name, used for folders and on the command line.
    pub name: &'static str,
    /// The name of the image in the cluster.
    pub reference: &'static str,
    /// Debian suites to take packages from.
    pub suites: &'static [&'static str],
    /// `redis` or `valkey`: the prefix of its packages and programs.
    pub family: &'static str,
}

pub const RECIPES: [Recipe; 5] = [
    recipe("redis-7.0", "localhost/redis:7.0", &["bookworm"], "redis"),
    recipe("redis-8.0", "localhost/redis:8.0", &["trixie"], "redis"),
    recipe("redis-8.6", "localhost/redis:8.6", &["sid", "experimental"], "redis"),
    recipe("valkey-8.1", "localhost/valkey:8.1", &["trixie"], "valkey"),
    recipe("valkey-9.1", "localhost/valkey:9.1", &["sid"], "valkey"),
];

const fn recipe(
    name: &'static str,
    reference: &'static str,
    suites: &'static [&'static str],
    family: &'static str,
) -> Recipe {
    Recipe { name, reference, suites, family }
}

impl Recipe {
    /// `7.0` of `redis-7.0`: what the version of the packages must begin with.
    pub fn version(&self) -> &'static str {
        &self.name[self.family.len() + 1..]
    }
}

/// Finds a recipe by its short name (`redis-7.0`) or by the name of its image (`localhost/redis:7.0`).
pub fn named(name: &str) -> Result<&'static Recipe> {
    match RECIPES.iter().find(|recipe| recipe.name == name || recipe.reference == name) {
        Some(recipe) => Ok(recipe),
        None => bail!("no image is called {name}; there are {}", names().join(", ")),
    }
}

pub fn names() -> Vec<&'static str> {
    RECIPES.iter().map(|recipe| recipe.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_an_image_lead_to_it() {
        assert_eq!(named("redis-8.6").unwrap(), named("localhost/redis:8.6").unwrap());
        assert!(named("redis-1.0").unwrap_err().to_string().contains("valkey-9.1"));
    }

    #[test]
    fn programs_are_found_by_the_names_of_their_images_only() {
        assert_eq!(Program::named("localhost/keyslot:dev"), Program::named("keyslot"));
        assert_eq!(Program::named("keyslot-operator"), None);
    }

    #[test]
    fn names_references_and_versions_agree() {
        for recipe in &RECIPES {
            assert_eq!(recipe.reference, format!("localhost/{}:{}", recipe.family, recipe.version()));
        }
    }
}
