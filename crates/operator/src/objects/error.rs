//! What the API server refuses, and what that means.

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of that name was made by somebody else.
    #[error("{object} exists and was made by someone else: remove or rename it")]
    Foreign {
        /// `Kind/name`.
        object: String,
    },
    /// An object of that name, mostly an earlier resource's, is on its way out.
    #[error("{object} is still being deleted: if it stays, look at its finalizers")]
    Leftover {
        /// `Kind/name`.
        object: String,
    },
    /// The resource that it would belong to is gone by now: look again.
    #[error("{object} is not made: its resource is deleted")]
    Ownerless {
        /// `Kind/name`.
        object: String,
    },
    /// The object that was seen is gone or another one by now: look again.
    #[error("{object} is not the object any more that was seen")]
    Replaced {
        /// `Kind/name`.
        object: String,
    },
    /// The API server did not do it.
    #[error("{object}: {}", words(.source))]
    Api {
        /// `Kind/name`.
        object: String,
        /// Its answer.
        source: kube::Error,
    },
}

impl Error {
    /// A word of a closed list.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Foreign { .. } => "ResourceConflict",
            Self::Leftover { .. } => "LeftoverObject",
            Self::Ownerless { .. } => "ResourceDeleted",
            Self::Replaced { .. } => "ObjectReplaced",
            Self::Api { source, .. } => api_reason(source),
        }
    }
}

/// A word of a closed list for what the API server answered.
pub fn api_reason(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => "ApiForbidden",
        kube::Error::Api(status) if status.is_conflict() => "ApiConflict",
        kube::Error::Api(status) if status.is_not_found() => "ApiNotFound",
        kube::Error::Api(status) if status.is_invalid() => "ApiInvalid",
        kube::Error::Api(_) => "ApiError",
        _ => "ApiUnreachable",
    }
}

/// In a namespace that is being deleted nothing can be made, and nothing needs to be.
pub fn namespace_goes(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The API server's answer for people. Errors on the way may carry pieces of an object, so they are only named.
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::SerdeError(_) => "the API server's answer can't be read".to_owned(),
        kube::Error::HyperError(_) | kube::Error::Service(_) => "the API server can't be reached".to_owned(),
        _ => "the request to the API server failed".to_owned(),
    }
}
