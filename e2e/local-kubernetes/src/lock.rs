//! One change at a time. The lock is on the machine, not in the state folder: bridge, addresses and
//! ports exist once. The file's content says which state folder the cluster of this machine uses.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::layout::{LOCK, State};

/// Held until dropped; the kernel lets go of it when the process ends in any way.
pub struct Lock {
    file: File,
}

impl Lock {
    /// Refuses at once when another process is at work, or when the cluster lives in another folder.
    pub fn take(state: &State) -> Result<Self> {
        let path = Path::new(LOCK);
        fs::create_dir_all(path.parent().unwrap_or(path))
            .context("cannot make the folder of the lock file")?;
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.with_context(|| format!("cannot open {LOCK}; root can"))?;
        if file.try_lock().is_err() {
            bail!(
                "another local-kubernetes command is at work (it holds {LOCK}); try again when it has ended"
            );
        }
        let mut lock = Self { file };
        if let Some(owner) = lock.owner()?
            && owner != state.root()
            && owner.exists()
        {
            bail!(
                "this machine already has a cluster, in {}; use it or end it with: KEYSLOT_LOCAL_KUBERNETES={} local-kubernetes down",
                owner.display(),
                owner.display()
            );
        }
        Ok(lock)
    }

    fn owner(&mut self) -> Result<Option<PathBuf>> {
        let mut content = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut content)?;
        let content = content.trim();
        Ok((!content.is_empty()).then(|| PathBuf::from(content)))
    }

    /// From now on the machine's cluster is the one in this folder.
    pub fn claim(&mut self, state: &State) -> Result<()> {
        self.release()?;
        writeln!(self.file, "{}", state.root().display())?;
        Ok(())
    }

    /// From now on the machine has no cluster.
    pub fn release(&mut self) -> Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        Ok(())
    }
}
