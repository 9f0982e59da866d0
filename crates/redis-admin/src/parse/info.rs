//! `INFO` and `CLUSTER INFO`: lines `name:value`.

use std::collections::BTreeMap;

use keyslot_planner::observed::{Engine, EngineKind};

use super::{Malformed, shown};

/// The fields of one reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    reply: &'static str,
    fields: BTreeMap<&'a str, &'a str>,
}

impl<'a> Fields<'a> {
    /// Reads the reply called `reply` (for messages). Headings, empty lines and lines of another form carry no field.
    pub fn parse(reply: &'static str, text: &'a str) -> Self {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        Self { reply, fields }
    }

    /// A field, if it is there.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).copied()
    }

    /// A field that every version writes.
    pub fn text(&self, name: &str) -> Result<&'a str, Malformed> {
        self.get(name).ok_or_else(|| Malformed::new(self.reply, format!("no field {name}")))
    }

    /// A number that every version writes.
    pub fn number(&self, name: &str) -> Result<u64, Malformed> {
        let text = self.text(name)?;
        text.parse().map_err(|_| Malformed::new(self.reply, format!("{name} is {}", shown(text))))
    }

    /// A field that is `0` or `1`; absent means `0`.
    pub fn flag(&self, name: &str) -> Result<bool, Malformed> {
        match self.get(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(Malformed::new(self.reply, format!("{name} is {}", shown(other)))),
        }
    }
}

/// Software and version from `INFO server`. Valkey keeps `redis_version:7.2.4` for ever, so its own field counts.
pub fn engine(info: &Fields<'_>) -> Result<Engine, Malformed> {
    let (kind, version) = match info.get("server_name") {
        Some("valkey") => (EngineKind::Valkey, info.text("valkey_version")?),
        Some("redis") | None => (EngineKind::Redis, info.text("redis_version")?),
        Some(other) => return Err(Malformed::new("INFO", format!("unknown server {}", shown(other)))),
    };
    Ok(Engine { kind, version: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_found_by_name_and_headings_are_not_fields() {
        let info =
            Fields::parse("INFO", "# Server\r\nredis_version:7.0.15\r\n\r\nexecutable:/a:b\r\nodd\r\nx:\r\n");
        assert_eq!(info.get("executable"), Some("/a:b"));
        assert_eq!(info.get("# Server"), None);
        assert_eq!(info.get("x"), Some(""));
        assert_eq!(info.number("used_memory").unwrap_err().to_string(), "INFO: no field used_memory");
        assert_eq!(info.number("redis_version").unwrap_err().to_string(), "INFO: redis_version is 7.0.15");
    }

    #[test]
    fn valkey_is_told_by_its_own_version() {
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n";
        assert_eq!(engine(&Fields::parse("INFO", valkey)).unwrap().to_string(), "valkey 9.1.2");
        assert_eq!(
            engine(&Fields::parse("INFO", "redis_version:8.6.3\r\n")).unwrap().to_string(),
            "redis 8.6.3"
        );
        assert!(engine(&Fields::parse("INFO", "redis_version:7.2.4\r\nserver_name:other\r\n")).is_err());
        assert!(engine(&Fields::parse("INFO", "")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), name in "[a-z_]{1,3}") {
            let info = Fields::parse("INFO", &text);
            let _ = (info.number(&name), info.flag(&name), engine(&info));
        }

        #[test]
        fn what_is_written_is_read(fields in proptest::collection::btree_map("[a-z_]{1,9}", "[ -~]{0,9}[!-~]", 0..9)) {
            let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            let text = lines.join("\r\n");
            let info = Fields::parse("INFO", &text);
            for (name, value) in &fields {
                prop_assert_eq!(info.get(name), Some(value.as_str()));
            }
        }
    }
}
