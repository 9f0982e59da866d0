//! Sizes as Kubernetes writes them.

/// `50Mi`, `1.5G`, `1e9`: in bytes, rounded up as Kubernetes does. Nothing for what is not a size.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    // Exact: a size with a fraction must not lose bytes on its way through floating point.
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let (factor, divisor) =
        if unit == "m" { (1, divisor.checked_mul(1000)?) } else { (factor(unit)?, divisor) };
    u64::try_from(digits.checked_mul(factor)?.div_ceil(divisor)).ok()
}

fn factor(unit: &str) -> Option<u128> {
    let power = |base: u128, exponent: u32| base.checked_pow(exponent);
    match unit {
        "" => Some(1),
        "k" => power(1000, 1),
        "M" => power(1000, 2),
        "G" => power(1000, 3),
        "T" => power(1000, 4),
        "Ki" => power(1024, 1),
        "Mi" => power(1024, 2),
        "Gi" => power(1024, 3),
        "Ti" => power(1024, 4),
        _ => power(10, unit.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_size_is_understood() {
        let cases = [
            ("0", 0),
            ("1024", 1024),
            ("50Mi", 50 << 20),
            ("1Gi", 1 << 30),
            ("1.5Gi", 3 << 29),
            ("1G", 1_000_000_000),
            ("1e3", 1000),
            ("0.5", 1),
            ("1500m", 2),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_words_are_no_sizes() {
        for text in ["", "Mi", "1.2.3", "50MB", "-1", "1e", "99999999999Ti"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
