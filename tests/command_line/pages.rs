//! What shells and `man` are told of the commands.

use crate::program::Program;

#[tokio::test]
async fn every_shell_can_complete_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = Program::new(&["completions", shell]).run().await;
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.contains("tail") && run.stdout.contains("no-follow"), "{shell}");
    }
}

#[tokio::test]
async fn each_command_has_a_manual_page_with_its_exit_codes() {
    let run = Program::new(&["man"]).run().await;
    assert!(run.code == Some(0) && run.stdout.contains(".TH jobwire 1"), "{run:?}");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("man1");
    let run = Program::new(&["man", path.to_str().expect("a path in UTF-8")]).run().await;
    assert_eq!(run.code, Some(0), "{run:?}");
    for page in ["jobwire.1", "jobwire-tail.1", "jobwire-stream-apply.1", "jobwire-doctor.1"] {
        let text = std::fs::read_to_string(path.join(page)).expect(page);
        assert!(text.contains("Exit codes") || page.contains("apply"), "{page}: {text}");
    }
}
