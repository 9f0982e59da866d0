//! The folder of things that are expensive to make: Go programs, root filesystems, images. It lies
//! outside the checkout, so a clean checkout or a second one does not build them again.
//!
//! Invariant: what has its final name is complete. Everything is made under a temporary name in the
//! same folder and renamed, so an interrupted build leaves nothing that looks finished.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `KEYSLOT_CACHE`, or `keyslot` in the user's cache folder.
    pub fn open() -> Result<Self> {
        let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = from("KEYSLOT_CACHE")
            .or_else(|| from("XDG_CACHE_HOME").map(|folder| folder.join("keyslot")))
            .or_else(|| from("HOME").map(|folder| folder.join(".cache/keyslot")))
            .context("no place for the cache: set KEYSLOT_CACHE, or HOME")?;
        for folder in ["bin", "rootfs", "images"] {
            fs::create_dir_all(root.join(folder))
                .with_context(|| format!("cannot make {}", root.join(folder).display()))?;
        }
        Ok(Self { root })
    }

    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    pub fn rootfs(&self, name: &str) -> PathBuf {
        self.root.join("rootfs").join(name)
    }

    pub fn image(&self, name: &str) -> PathBuf {
        self.root.join("images").join(format!("{name}.tar"))
    }

    /// Waits until no other process builds into the cache; held until dropped.
    pub fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        if file.try_lock().is_err() {
            eprintln!("waiting for another build into {} to end", self.root.display());
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}

/// Lets `make` produce a file or folder under a temporary name, then gives it its final name.
/// Must be called with the cache locked: leftovers of interrupted builds are removed first.
pub fn produce(target: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = target.file_name().context("a cache entry needs a name")?.to_string_lossy();
    let fresh = target.with_file_name(format!(".{name}.making"));
    let old = target.with_file_name(format!(".{name}.old"));
    remove(&fresh)?;
    remove(&old)?;
    let outcome = make(&fresh);
    if outcome.is_err() {
        remove(&fresh)?;
    }
    outcome?;
    if target.is_dir() {
        // A folder that is not empty cannot be renamed over.
        fs::rename(target, &old).with_context(|| format!("cannot move {} away", target.display()))?;
    }
    fs::rename(&fresh, target).with_context(|| format!("cannot name {}", target.display()))?;
    remove(&old)
}

/// Removes a file or a folder; nothing there is fine.
pub fn remove(path: &Path) -> Result<()> {
    let Ok(known) = fs::symlink_metadata(path) else { return Ok(()) };
    let removed = if known.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// A short name for the content of these files: it changes when any of them does.
pub fn fingerprint(files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        hash.update(content.len().to_le_bytes());
        hash.update(&content);
    }
    Ok(hex::encode(hash.finalize())[..12].to_owned())
}

/// Tells one build of a file from the next without reading it.
pub fn stamp(file: &Path) -> Result<String> {
    let known = fs::metadata(file).with_context(|| format!("cannot look at {}", file.display()))?;
    Ok(format!("{}-{}-{}", known.len(), known.mtime(), known.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_build_leaves_nothing_with_the_final_name() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("thing");
        let failed = produce(&target, |fresh| {
            fs::write(fresh, "half")?;
            anyhow::bail!("power cut")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("thing");
        for content in ["one", "two"] {
            produce(&target, |fresh| {
                fs::create_dir(fresh)?;
                Ok(fs::write(fresh.join(content), content)?)
            })
            .unwrap();
        }
        let names: Vec<_> = fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["two"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_fingerprint_depends_on_where_one_file_ends() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        let with = |a: &str, b: &str| {
            fs::write(&files[0], a).unwrap();
            fs::write(&files[1], b).unwrap();
            fingerprint(&files).unwrap()
        };
        assert_ne!(with("ab", "c"), with("a", "bc"));
    }
}
