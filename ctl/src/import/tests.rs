use super::*;

/// The file of the CPMS manual.
const OLD: &str = r"sub CONFIG {
 (
  VERSION => '0.80.01' ,
  REMOTE_POP3_HOST => '192.0.2.80' ,
  REMOTE_POP3_TIMEOUT => 60 , # timeout in seconds
  MONITOR_PORT => 7890 ,
  MONITOR_PORT_SLAVE => 7891 ,
  SLAVE_HOST => 'cfg2' ,
  RLOGIN_USER => 'retoh' ,
  RLOGIN_PASS => 'Xfoo' ,
  SHUTDOWN_SCRIPTS => './scripts/shutdown_1.sh >/tmp/foo.log 2>/tmp/foo.err,' .
   './scripts/shutdown_2.sh' ,
  STARTUP_SCRIPTS => './scripts/foo2.sh,' .
   './scripts/bar.sh'
 )
}
1;
";

fn import(old: &str, output: bool) -> (Exit, String, String, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("failover_config.txt");
    std::fs::write(&file, old).unwrap();
    let place = folder.path().join("failover.ron");
    let arguments = Arguments {
        file,
        output: output.then(|| place.clone()),
        pair: None,
        master: None,
        master_address: None,
        slave_address: None,
        pop3_address: None,
        canary: None,
        process: None,
    };
    let (mut text, mut notes) = (Vec::new(), Vec::new());
    let exit = run(&arguments, &mut Out::plain(&mut text), &mut Out::plain(&mut notes)).unwrap();
    let words = |bytes| String::from_utf8(bytes).unwrap();
    (exit, words(text), words(notes), std::fs::read_to_string(place).ok())
}

#[test]
fn the_text_goes_to_the_output_and_the_notes_beside_it() {
    let (exit, text, notes, _) = import(OLD, false);
    assert_eq!(exit, Exit::Warning, "{notes}");
    assert!(text.contains("Pair(") && text.contains("shutdown_2.sh"), "{text}");
    assert!(notes.contains("failoverctl check"), "{notes}");
}

#[test]
fn the_clear_text_password_is_carried_nowhere() {
    let (_, text, notes, _) = import(OLD, false);
    assert!(!text.contains("Xfoo") && !notes.contains("Xfoo"), "{text}\n{notes}");
    assert!(notes.contains("RLOGIN_PASS"), "{notes}");
}

#[test]
fn a_named_file_gets_the_text() {
    let (_, text, _, file) = import(OLD, true);
    assert!(text.starts_with("written: "), "{text}");
    assert!(file.unwrap().contains("Pair("));
}

#[test]
fn a_file_that_is_no_configuration_is_refused_with_its_line() {
    let (exit, text, notes, _) = import("print 'hello';\n", false);
    assert_eq!(exit, Exit::Failed);
    assert_eq!(text, "");
    assert!(notes.contains("failover_config.txt:1"), "{notes}");
}
