//! Container images without a registry: made from Debian packages or from a program that was just
//! built, written as files that containerd imports.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::cache::{self, Cache};

pub mod load;
pub mod oci;
pub mod programs;
pub mod recipes;
pub mod rootfs;

use recipes::Recipe;

/// Makes the folder and the image file of a server, as far as they are not there already.
pub fn ensure_server(cache: &Cache, recipe: &Recipe) -> Result<PathBuf> {
    let _lock = cache.lock()?;
    let folder = rootfs::ensure(cache, recipe)?;
    let target = cache.image(recipe.name);
    let is_newer = |image: &fs::Metadata, folder: &fs::Metadata| {
        image.modified().is_ok_and(|made| folder.modified().is_ok_and(|unpacked| made >= unpacked))
    };
    if let (Ok(image), Ok(unpacked)) = (fs::metadata(&target), fs::metadata(folder.join("VERSION")))
        && is_newer(&image, &unpacked)
    {
        return Ok(target);
    }
    eprintln!("packing {}", recipe.reference);
    let settings = oci::Settings {
        entrypoint: &["docker-entrypoint.sh"],
        command: &["redis-server"],
        user: "",
        folder: "/data",
    };
    cache::produce(&target, |fresh| oci::write(fresh, recipe.reference, &folder, &settings))?;
    Ok(target)
}
