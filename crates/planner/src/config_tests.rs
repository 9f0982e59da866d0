use std::collections::BTreeMap;

use keyslot_api::v1alpha1::{FREE_DIRECTIVES, OWNED_DIRECTIVES};
use proptest::prelude::*;

use super::*;

/// Reads a configuration as a server does (`sdssplitargs`): names with their words.
fn parse(text: &str) -> Vec<Vec<String>> {
    text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(words).collect()
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    while let Some(first) = rest.next() {
        if first == ' ' {
            continue;
        }
        let mut word = String::new();
        if first == '"' {
            loop {
                match rest.next().expect("the quote is closed") {
                    '"' => break,
                    '\\' => match rest.next().expect("a character is escaped") {
                        'x' => {
                            let hex: String = [rest.next(), rest.next()].into_iter().flatten().collect();
                            word.push(char::from(u8::from_str_radix(&hex, 16).unwrap()));
                        }
                        escaped => word.push(escaped),
                    },
                    plain => word.push(plain),
                }
            }
            assert!(matches!(rest.peek(), None | Some(' ')), "a closed quote ends the word: {line}");
        } else {
            word.push(first);
            while let Some(next) = rest.next_if(|c| *c != ' ') {
                assert!(!matches!(next, '"' | '\''), "a quote inside of a word: {line}");
                word.push(next);
            }
        }
        words.push(word);
    }
    words
}

fn spec_with(config: BTreeMap<String, String>) -> RedisClusterSpec {
    RedisClusterSpec { config, ..RedisClusterSpec::with_image("redis:8.0") }
}

proptest! {
    /// Whatever stands in `spec.config`: each directive is either refused or read back as the same words, and what the
    /// operator relies on is untouched.
    #[test]
    fn what_is_written_is_what_a_server_reads(
        config in proptest::collection::btree_map("[a-z][a-z-]{0,12}|\\PC{0,8}", "[ -~]{0,24}|\\PC{0,8}|.{0,8}", 0..6)
    ) {
        let spec = spec_with(config.clone());
        let (accepted, refused) = user_directives(&spec);
        prop_assert_eq!(accepted.len() + refused.len(), config.len());
        let read = parse(&redis_conf(&spec));
        for name in config.keys() {
            let lines: Vec<_> = read.iter().filter(|line| line[0] == *name).collect();
            if refused.iter().any(|(refused, _)| refused == name) {
                prop_assert!(lines.is_empty() || owned_directive(name).is_some(), "{:?}", lines);
            } else {
                prop_assert_eq!(lines.len(), 1);
                let mut expected: Vec<&str> = config[name].split_ascii_whitespace().collect();
                if expected.is_empty() {
                    expected.push("");
                }
                prop_assert_eq!(&lines[0][1..], expected);
            }
        }
        let own: Vec<_> = parse(&redis_conf(&spec_with(BTreeMap::new())));
        for line in own.iter().filter(|line| !config.contains_key(&line[0])) {
            prop_assert!(read.contains(line), "{:?} is gone", line);
        }
    }

    /// Any password that a Secret can hold, not only those that are generated.
    #[test]
    fn a_quoted_word_is_read_as_the_same_word(word in "[\\x00-\\x7f]{0,24}") {
        prop_assert_eq!(words(&format!("masterauth {}", quoted(&word))), ["masterauth", &word]);
    }
}

#[test]
fn each_name_stands_in_the_file_once() {
    let names = ["tcp-keepalive", "cluster-require-full-coverage", "maxmemory"];
    let spec = spec_with(names.map(|name| (name.to_owned(), "0".to_owned())).into());
    let mut read: Vec<String> = parse(&redis_conf(&spec)).into_iter().map(|line| line[0].clone()).collect();
    read.sort();
    let count = read.len();
    read.dedup();
    assert_eq!(read.len(), count);
    assert!(names.iter().all(|name| read.contains(&(*name).to_owned())));
}

#[test]
fn directives_of_the_operator_are_refused_by_name() {
    let owned = OWNED_DIRECTIVES.iter().flat_map(|owned| owned.names.iter().chain(owned.prefixes));
    for name in owned {
        let name = name.trim_end_matches('-');
        if owned_directive(name).is_some() {
            assert!(matches!(Directive::parse(name, "1"), Err(Refused::Owned(_))), "{name}");
        }
    }
    for name in FREE_DIRECTIVES {
        assert!(Directive::parse(name, "1").is_ok(), "{name}");
    }
}

/// Everything in the sections that the operator relies on has to be refused, or a second line would replace it.
#[test]
fn what_the_operator_relies_on_can_not_be_replaced() {
    let spec = RedisClusterSpec::with_image("redis:8.0");
    let relied_on = [place(), cluster(&spec), storage(&spec), replication()].concat();
    for directive in relied_on {
        let taken = spec_with([(directive.name.clone(), "1".to_owned())].into());
        assert_eq!(user_directives(&taken).1.len(), 1, "{}", directive.name);
    }
}
