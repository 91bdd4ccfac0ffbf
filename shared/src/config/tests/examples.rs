//! The examples that are handed out, and the reference: they say what the code does.

use std::collections::BTreeSet;

use super::super::read::pair;
use super::super::reader::Reader;
use super::super::scan::scan;
use super::*;

const MINIMAL: &str = include_str!("../../../../config/minimal.ron");
const ANNOTATED: &str = include_str!("../../../../config/failover.ron");
const ALTEON: &str = include_str!("../../../../config/alteon.ron");
const LEASE: &str = include_str!("../../../../config/lease.ron");
const REFERENCE: &str = include_str!("../../../../docs/config.md");

pub(super) const ALL: [&str; 4] = [MINIMAL, ANNOTATED, ALTEON, LEASE];

/// Group and key of everything that the code asks for.
fn schema() -> BTreeSet<(&'static str, &'static str)> {
    let mut asked = BTreeSet::new();
    let resources = super::scripts::with_resources();
    for text in [EVERYTHING, &resources, SKETCH, MINIMAL, ANNOTATED, ALTEON, LEASE] {
        let mut reader = Reader::new(Path::new("/etc/failover"), |_| Ok(Vec::new()));
        pair(&mut reader, &scan(text).root.unwrap_or_else(|error| panic!("{}", error.message)));
        asked.extend(reader.asked);
    }
    // Asked for only when the other is not written.
    asked.extend([("HaProxy", "backends"), ("HaProxy", "backend")]);
    asked.extend([("SharedStorage", "path"), ("SharedStorage", "profile"), ("SharedStorage", "drift_permille")]);
    asked.extend([("SharedStorage", "guard"), ("GuardianOnly", "host_freeze_can_make_two_actives")]);
    asked
}

/// The parts of the reference whose heading names a group.
fn sections(group: &str) -> String {
    let named = format!("`{group}`");
    REFERENCE.split("\n#").filter(|part| part.lines().next().is_some_and(|heading| heading.contains(&named))).collect()
}

#[test]
fn every_example_is_a_good_configuration_without_a_warning_but_those_it_tells() {
    for text in [ANNOTATED, ALTEON, LEASE] {
        let loaded = good(text);
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }
    good(MINIMAL);
}

#[test]
fn every_key_stands_in_the_reference() {
    let schema = schema();
    assert!(schema.len() > 80, "the schema was not walked: {schema:?}");
    for (group, key) in schema {
        let sections = sections(group);
        assert!(sections.contains(&format!("`{key}`")), "docs/config.md does not tell of `{key}` of `{group}`");
    }
}

#[test]
fn every_key_in_the_reference_is_one() {
    let known: BTreeSet<&str> = schema().into_iter().map(|(_, key)| key).collect();
    let tables = REFERENCE.split("## From CPMS").next().unwrap_or_default();
    for line in tables.lines() {
        let cell = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |")).map(|(cell, _)| cell);
        if let Some(key) = cell.filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
            assert!(known.contains(key), "docs/config.md tells of `{key}`, which the code does not know");
        }
    }
}

#[test]
fn the_defaults_in_the_reference_are_those_of_the_code() {
    for (group, prefix) in [("Pair", ""), ("Timing", "timing."), ("Service", "service."), ("Port", "checks[pop3].")] {
        let section = sections(group);
        for value in good(MINIMAL).resolved() {
            let Some(key) = value.key.strip_prefix(prefix).filter(|key| !key.contains(['.', '['])) else { continue };
            // Defaults that are made of other values are told in words.
            if value.origin != Origin::Default || ["directory", "timeout", "of"].contains(&key) {
                continue;
            }
            let row = section.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/config.md has no row for `{key}` of `{group}`"));
            assert!(row.contains(&format!("`{}`", value.value)), "the default {} is not in the row {row}", value.value);
        }
    }
}
