//! Starts a real Kubernetes of three nodes on one Linux machine, without Docker and without a registry.

mod cache;
mod command;
mod debian;
mod images;

fn main() -> anyhow::Result<()> {
    let cache = cache::Cache::open()?;
    for recipe in &images::recipes::RECIPES {
        println!("{}", images::ensure_server(&cache, recipe)?.display());
    }
    Ok(())
}
