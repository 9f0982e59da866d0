//! Steps that several stories share.
