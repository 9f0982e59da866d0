//! Writes a container image as one file: an OCI image layout in a tar, with a single layer. That is
//! what `ctr images import` takes, so no registry is needed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How containers of the image start, beside its files.
pub struct Settings<'a> {
    pub entrypoint: &'a [&'a str],
    pub command: &'a [&'a str],
    pub user: &'a str,
    pub folder: &'a str,
}

/// Packs the folder as the image called `reference` into the file `target`.
pub fn write(target: &Path, reference: &str, folder: &Path, settings: &Settings<'_>) -> Result<()> {
    let layer = target.with_extension("layer");
    let written = write_layer(&layer, folder)
        .with_context(|| format!("cannot pack {}", folder.display()))
        .and_then(|()| write_layout(target, reference, &layer, settings));
    let removed = std::fs::remove_file(&layer);
    written?;
    removed.with_context(|| format!("cannot remove {}", layer.display()))
}

fn write_layer(target: &Path, folder: &Path) -> Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::new(File::create(target)?));
    archive.follow_symlinks(false);
    archive.append_dir_all(".", folder)?;
    archive.into_inner()?.flush()?;
    Ok(())
}

fn write_layout(target: &Path, reference: &str, layer: &Path, settings: &Settings<'_>) -> Result<()> {
    let (layer_digest, layer_size) = digest_of_file(layer)?;
    let config = config(settings, &layer_digest).to_string();
    let manifest = manifest(&config, &layer_digest, layer_size).to_string();
    let index = index(reference, &manifest).to_string();
    let mut archive = tar::Builder::new(io::BufWriter::new(File::create(target)?));
    append(&mut archive, "oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    append(&mut archive, "index.json", &index)?;
    append(&mut archive, &blob(&digest(config.as_bytes())), &config)?;
    append(&mut archive, &blob(&digest(manifest.as_bytes())), &manifest)?;
    archive.append_file(blob(&layer_digest), &mut File::open(layer)?)?;
    archive.into_inner()?.flush()?;
    Ok(())
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: &str, content: &str) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content.as_bytes())?;
    Ok(())
}

fn config(settings: &Settings<'_>, layer_digest: &str) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": settings.entrypoint,
            "Cmd": settings.command,
            "User": settings.user,
            "WorkingDir": settings.folder,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        // The identity of a layer is the digest of its uncompressed tar; ours is never compressed.
        "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
    })
}

fn manifest(config: &str, layer_digest: &str, layer_size: u64) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(config.as_bytes()),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer_digest,
            "size": layer_size,
        }],
    })
}

fn index(reference: &str, manifest: &str) -> Value {
    let tag = reference.rsplit(':').next().unwrap_or(reference);
    json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(manifest.as_bytes()),
            "size": manifest.len(),
            "annotations": {
                "io.containerd.image.name": reference,
                "org.opencontainers.image.ref.name": tag,
            },
        }],
    })
}

/// The name that image formats have for this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn digest_of_file(path: &Path) -> Result<(String, u64)> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((format!("sha256:{}", hex::encode(hash.finalize())), size));
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn entries(path: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(File::open(path).unwrap());
        let read = |entry: io::Result<tar::Entry<'_, File>>| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (name, content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn every_digest_in_the_layout_names_a_blob_with_that_content() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("hello"), "world").unwrap();
        std::os::unix::fs::symlink("hello", files.join("link")).unwrap();
        let target = folder.path().join("image.tar");
        let settings = Settings { entrypoint: &["/hello"], command: &[], user: "999", folder: "/" };
        write(&target, "localhost/thing:1.0", &files, &settings).unwrap();

        let entries = entries(&target);
        for (name, content) in entries.iter().filter(|(name, _)| name.starts_with("blobs/")) {
            assert_eq!(*name, blob(&digest(content)));
        }
        let index: Value = serde_json::from_slice(&entries["index.json"]).unwrap();
        let described = &index["manifests"][0];
        assert_eq!(described["annotations"]["io.containerd.image.name"], "localhost/thing:1.0");
        assert_eq!(described["annotations"]["org.opencontainers.image.ref.name"], "1.0");
        let manifest: Value =
            serde_json::from_slice(&entries[&blob(described["digest"].as_str().unwrap())]).unwrap();
        let config: Value =
            serde_json::from_slice(&entries[&blob(manifest["config"]["digest"].as_str().unwrap())]).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(config["config"]["User"], "999");
        assert!(!folder.path().join("image.layer").exists());
    }
}
