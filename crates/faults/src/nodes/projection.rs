//! Files of ConfigMaps and Secrets in a pod, as a kubelet keeps them: all files of a volume change at one moment.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The group of servers, which a kubelet gives volumes by `fsGroup`.
const GROUP: u32 = 999;

/// Contents by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The files of a volume.
pub struct Projection {
    folder: PathBuf,
    shown: Files,
    behind_since: Option<Instant>,
}

impl Projection {
    /// With these files at the start.
    pub fn new(folder: PathBuf, files: Files) -> Result<Self> {
        project(&folder, &files)?;
        Ok(Self { folder, shown: files, behind_since: None })
    }

    /// Follows its source, which has these files now, when it has been behind for as long as this.
    pub fn follow(&mut self, files: Files, delay: Duration) -> Result<()> {
        if files == self.shown {
            self.behind_since = None;
            return Ok(());
        }
        let since = *self.behind_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= delay {
            project(&self.folder, &files)?;
            self.shown = files;
            self.behind_since = None;
        }
        Ok(())
    }
}

/// Writes the files of a volume. Readers see all of the old ones or all of the new ones, for names lead through a link
/// that is replaced by a rename.
fn project(folder: &Path, files: &Files) -> Result<()> {
    let current = folder.join("..data");
    fs::create_dir_all(folder)?;
    let (old, version) = match fs::read_link(&current) {
        Ok(old) => {
            let number = old.to_string_lossy().trim_start_matches("..v").parse::<u32>().unwrap_or(0);
            (Some(folder.join(old)), number + 1)
        }
        Err(_) => (None, 0),
    };
    let name = format!("..v{version}");
    let fresh = folder.join(&name);
    fs::create_dir_all(&fresh)?;
    for (file, content) in files {
        let path = fresh.join(file);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        chown(&path, None, Some(GROUP))?;
        fs::set_permissions(&path, PermissionsExt::from_mode(0o440))?;
        let shown = folder.join(file);
        if fs::symlink_metadata(&shown).is_err() {
            symlink(Path::new("..data").join(file), &shown)?;
        }
    }
    let link = folder.join("..data_fresh");
    symlink(&name, &link)?;
    fs::rename(&link, &current)?;
    if let Some(old) = old {
        fs::remove_dir_all(old)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> Files {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn files_change_together_and_nothing_old_stays() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let of = |text| files(&[("redis.conf", text), ("users.acl", text)]);
        let is = |text: &str| {
            let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
            ["redis.conf", "users.acl"].iter().all(|name| read(name) == text)
        };
        let mut projection = Projection::new(folder.path().to_owned(), of("a")).unwrap();
        projection.follow(of("b"), Duration::from_mins(10)).unwrap();
        assert!(is("a"), "it stays behind");
        projection.follow(of("b"), Duration::ZERO).unwrap();
        assert!(is("b"));
        let versions = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(versions, 4, "two names, one version and the link to it");
    }
}
