//! What a request to the API server is about, from its method and path.

use http::{Method, Uri};

/// `patch configmaps/demo-acl`, or `patch redisclusters/demo/status`; a POST is `create configmaps/demo-acl`.
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

/// What a request only looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// All of a collection.
    List(&'a str),
    /// What happens to a collection.
    Watch(&'a str),
}

/// A look at a whole collection; `None` for other requests.
pub fn look<'a>(method: &Method, uri: &'a Uri) -> Option<Look<'a>> {
    let collection = uri.path().rsplit('/').next()?;
    let is_plural = collection.ends_with('s');
    let query = uri.query().unwrap_or_default();
    match *method {
        Method::GET if is_plural && query.contains("watch=true") => Some(Look::Watch(collection)),
        Method::GET if is_plural && query.contains("limit=") => Some(Look::List(collection)),
        _ => None,
    }
}

/// The same list, as it was at a version.
pub fn at_version(uri: &Uri, version: &str) -> Option<Uri> {
    let query = uri.query().unwrap_or_default();
    let kept = query.split('&').filter(|part| !part.starts_with("resourceVersion"));
    let exact = [format!("resourceVersion={version}"), "resourceVersionMatch=Exact".to_owned()];
    let parts: Vec<String> = kept.map(str::to_owned).chain(exact).filter(|part| !part.is_empty()).collect();
    format!("{}?{}", uri.path(), parts.join("&")).parse().ok()
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

    #[test]
    fn a_list_can_be_asked_for_as_it_was() {
        let uri: Uri = "/api/v1/namespaces/a/pods?limit=500&resourceVersion=0".parse().unwrap();
        assert_eq!(look(&Method::GET, &uri), Some(Look::List("pods")));
        let old = at_version(&uri, "77").unwrap();
        assert_eq!(
            old.to_string(),
            "/api/v1/namespaces/a/pods?limit=500&resourceVersion=77&resourceVersionMatch=Exact"
        );
        let uri: Uri = "/api/v1/namespaces/a/pods?watch=true&resourceVersion=7".parse().unwrap();
        assert_eq!(look(&Method::GET, &uri), Some(Look::Watch("pods")));
        let uri: Uri = "/api/v1/namespaces/a/secrets/demo-users".parse().unwrap();
        assert_eq!(look(&Method::GET, &uri), None);
    }
}
