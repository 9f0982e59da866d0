//! What a request to the API server is about, from its method and path.

use http::Method;

/// `patch configmaps/demo-acl`, or `patch redisclusters/demo/status`; a POST goes to `create configmaps`.
/// `None` for requests that change nothing, and for those that are no part of a cluster: leases and events.
pub fn class(method: &Method, path: &str, created: Option<&str>) -> Option<String> {
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return None,
    };
    let mut parts = path.trim_start_matches('/').split('/');
    // /api/v1/… or /apis/<group>/<version>/…
    if parts.next()? == "apis" {
        parts.next()?;
    }
    parts.next()?;
    let rest: Vec<&str> = parts.collect();
    let object = match rest.as_slice() {
        ["namespaces", _, object @ ..] if !object.is_empty() => object,
        object => object,
    };
    if matches!(object.first(), None | Some(&("leases" | "events"))) {
        return None;
    }
    let name = created.map(|name| format!("/{name}")).unwrap_or_default();
    Some(format!("{verb} {}{name}", object.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_verb_and_object() {
        let core = "/api/v1/namespaces/shop/configmaps/demo-acl";
        assert_eq!(class(&Method::PATCH, core, None).as_deref(), Some("patch configmaps/demo-acl"));
        let status = "/apis/keyslot.dev/v1alpha1/namespaces/shop/redisclusters/demo/status";
        assert_eq!(class(&Method::PATCH, status, None).as_deref(), Some("patch redisclusters/demo/status"));
        let set = "/apis/apps/v1/namespaces/shop/statefulsets";
        assert_eq!(class(&Method::POST, set, Some("demo")).as_deref(), Some("create statefulsets/demo"));
        assert_eq!(class(&Method::GET, core, None), None);
        let event = "/apis/events.k8s.io/v1/namespaces/shop/events";
        assert_eq!(class(&Method::POST, event, Some("demo.1")), None);
        assert_eq!(class(&Method::POST, "/", None), None);
    }
}
