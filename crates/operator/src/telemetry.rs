//! Logs: text for people or JSON, filtered by `RUST_LOG`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::LogFormat;

/// What is logged when `RUST_LOG` is not set. kube's own spans and retries are noise while all is well.
const DEFAULT_FILTER: &str = "info,kube=warn";

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines.with_target(false).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).finish().try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
