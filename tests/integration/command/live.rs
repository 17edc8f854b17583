//! The live line is for people: nothing of it where standard error is no terminal.

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::Take;

use super::{Machine, text};

#[test]
fn no_control_characters_without_a_terminal() {
    let fake = FakeClaude::new([Take::success("Done.")]);
    let machine = Machine::with_claude(&fake.path());
    let output = machine.run(&["run", "x"]);
    assert_eq!(text(&output.stdout), "Done.\n");
    assert!(!text(&output.stderr).contains(['\u{1b}', '\r']), "{:?}", text(&output.stderr));
}
