//! Tables on the status.
