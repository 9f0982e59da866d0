//! The audit log of the local Kubernetes: which requests the operator has made.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{report, settings};

/// One request, as far as tests look at it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub verb: String,
    pub user: User,
    #[serde(default)]
    pub object_ref: ObjectRef,
    #[serde(default)]
    pub response_status: ResponseStatus,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub stage_timestamp: Timestamp,
    #[serde(rename = "requestURI")]
    pub uri: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct User {
    pub username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    pub api_group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus {
    pub code: u16,
    pub message: String,
}

impl Request {
    /// Whether it was meant to change something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether the operator had no right to it. (A namespace that is being deleted refuses new objects
    /// too, for another reason.)
    pub fn is_forbidden(&self) -> bool {
        self.annotations.get("authorization.k8s.io/decision").is_some_and(|decision| decision == "forbid")
    }

    /// `apps/statefulsets` or `pods`, with the subresource as in rules of roles.
    pub fn resource(&self) -> String {
        let ObjectRef { api_group, resource, subresource, .. } = &self.object_ref;
        let group = if api_group.is_empty() { String::new() } else { format!("{api_group}/") };
        let rest = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        format!("{group}{resource}{rest}")
    }
}

/// All requests of the operator's service accounts since then; `None` where there is no audit log to read,
/// and then it says that `purpose` was skipped. A log without any is none: the leader renews its Lease every
/// few seconds.
pub fn operator_requests(purpose: &str, since: Timestamp) -> Result<Option<Vec<Request>>> {
    let Some(text) = text(purpose)? else { return Ok(None) };
    let prefix = format!("system:serviceaccount:{}:", settings::OPERATOR_NAMESPACE);
    // The last line may be half written.
    let requests = text.lines().filter_map(|line| serde_json::from_str::<Request>(line).ok());
    let ours = requests.filter(|one| one.user.username.starts_with(&prefix) && one.stage_timestamp >= since);
    let ours: Vec<_> = ours.collect();
    ensure!(!ours.is_empty(), "the audit log has no request of the operator since {since}");
    Ok(Some(ours))
}

/// The whole log; `None` where there is none to read, and then it says that `purpose` was skipped.
pub fn text(purpose: &str) -> Result<Option<String>> {
    if !settings::is_local() {
        report::skipped(&format!("{purpose}: needs the audit log of the local Kubernetes"));
        return Ok(None);
    }
    let path = settings::local_root().join("log/audit.log");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(text))
}
