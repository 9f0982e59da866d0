//! Prints what is generated from the types: `crdgen` the CRD for `crds/`, `crdgen docs` the reference, `crdgen
//! conditions` the page on conditions.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let text = match argument.as_deref() {
        None => serde_saphyr::to_string(&keyslot_api::crd()).map_err(|error| error.to_string()),
        Some("docs") => Ok(keyslot_api::reference()),
        Some("conditions") => Ok(keyslot_api::conditions_page()),
        Some(_) => Err("usage: crdgen [docs | conditions]".to_owned()),
    };
    let written = text.and_then(|text| {
        std::io::stdout().lock().write_all(text.as_bytes()).map_err(|error| error.to_string())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}
