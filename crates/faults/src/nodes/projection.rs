//! Files of ConfigMaps and Secrets in a pod, as a kubelet keeps them: all files of a volume change at one moment.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use anyhow::{Context, Result};

/// The group of servers, which a kubelet gives volumes by `fsGroup`.
const GROUP: u32 = 999;

/// Brings the files of a volume up to date. Readers see all of the old ones or all of the new ones, for names lead
/// through a link that is replaced by a rename.
pub fn project(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let current = folder.join("..data");
    if read(&current).is_some_and(|there| there == *files) {
        return Ok(());
    }
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

fn read(folder: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).ok()?);
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn files_change_together_and_nothing_old_stays() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        project(folder.path(), &files(&[("redis.conf", "a"), ("users.acl", "a")])).unwrap();
        project(folder.path(), &files(&[("redis.conf", "b"), ("users.acl", "b")])).unwrap();
        for name in ["redis.conf", "users.acl"] {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "b");
        }
        let versions = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(versions, 4, "two names, one version and the link to it");
    }
}
