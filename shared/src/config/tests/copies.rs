//! What the stand-by copies.

use super::*;

fn with(copies: &str) -> String {
    changed("objective_outage", &format!("copies: {copies}, objective_outage"))
}

#[test]
fn a_copy_is_an_hour_old_at_most_unless_its_entry_says_otherwise() {
    let config = good(&with("[Copy(name: \"users\", command: \"./copy.sh\")]")).config;
    let [copy] = config.copies.as_slice() else { panic!("{:?}", config.copies) };
    assert_eq!((copy.name.as_str(), copy.command.command.as_str()), ("users", "./copy.sh"));
    assert_eq!(copy.command.timeout, config.timing.script_timeout);
    assert_eq!((copy.every, copy.max_age), (Duration::from_secs(600), Duration::from_secs(3600)));
    assert_eq!(copy.when_old, WhenOld::Allowed);
    assert_eq!(oldest_in_use(&config.copies, copy), Duration::from_secs(660));
    assert_eq!(good(EVERYTHING).config.copies[0].when_old, WhenOld::Asks);
}

#[test]
fn a_copy_that_would_be_old_while_all_is_well_is_refused() {
    let text = with("[Copy(name: \"users\", command: \"./copy.sh\", every: \"59min 30s\")]");
    let problems = refused(&text).to_string();
    assert!(problems.contains("the copy \"users\" can be 1h 30s old while all is well"), "{problems}");
    // Each waits for the other.
    let entry = |name| format!("Copy(name: \"{name}\", command: \"./copy.sh\", every: \"59min\")");
    good(&with(&format!("[{}]", entry("a"))));
    let problems = refused(&with(&format!("[{}, {}]", entry("a"), entry("b")))).to_string();
    assert!(
        problems.contains("\"a\" can be 1h 1min old") && problems.contains("\"b\" can be 1h 1min old"),
        "{problems}"
    );
}

#[test]
fn two_copies_of_one_name_are_refused() {
    let entry = "Copy(name: \"users\", command: \"./copy.sh\")";
    let problems = refused(&with(&format!("[{entry}, {entry}]"))).to_string();
    assert!(problems.contains("two copies have the name \"users\""), "{problems}");
}
