//! Small words of messages.

/// `1 replica`, `2 replicas`, `3 primaries`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("1 {noun}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(counted(1, "pod"), "1 pod");
        assert_eq!(counted(0, "pod"), "0 pods");
        assert_eq!(counted(3, "primary"), "3 primaries");
    }
}
