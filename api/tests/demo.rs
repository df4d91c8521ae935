//! `trinity demo` as a user runs it, short: a node, a broker, devices, and the proof at the end.
#![cfg(feature = "demo")]

use std::process::{Command, Stdio};

#[test]
fn every_message_is_executed_exactly_once() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_trinity"));
    let output = demo.args(["demo", "--duration", "6s", "--rate", "6000"]).stdin(Stdio::null()).output();
    let output = output.expect("the binary runs");
    let (text, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}\n{problem}");
    let row = |name: &str| -> Vec<usize> {
        let line = text.lines().find(|line| line.starts_with(name) && line.contains("each id once"));
        let line = line.unwrap_or_else(|| panic!("no proof of {name}: {text}"));
        let numbers = line.trim_start_matches(name).split("  ").filter(|part| !part.is_empty());
        numbers.filter_map(|number| number.replace(' ', "").parse().ok()).collect()
    };
    // 100 readings a second in all, by devices that each make five a second; one in eight is silent for four seconds.
    let [published, executed, completed] = row("reading")[..] else { panic!("{text}") };
    assert!((450..=560).contains(&published) && published == executed && executed == completed, "{text}");
    assert_eq!(row("wind"), [20, 20, 20], "{text}");
    let tickets = row("ticket");
    assert!(tickets[0] > 0, "{text}");
    assert!(text.contains(&format!("tickets   {} opened for {} alerts", tickets[0], tickets[0])), "{text}");
    assert!(text.contains("silence   2 devices fell silent, "), "{text}");
    assert!(text.contains("retried"), "one execution is shown, with its retries: {text}");
}

#[test]
fn what_can_not_be_is_refused() {
    for arguments in [["--duration", "0s"], ["--duration", "3 weeks"], ["--rate", "0"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_trinity")).arg("demo").args(arguments).output();
        let output = output.expect("the binary runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
