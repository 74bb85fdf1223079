//! Completions and manual pages: a shell reads the one, `man` the other.

use std::process::Command;

use tempfile::tempdir;

use super::command::run;

/// bash itself completes: with the script loaded, `tidegate che` becomes `check`, and options are known.
#[test]
fn bash_completes_commands_and_options() {
    let folder = tempdir().unwrap();
    let ran = run(folder.path(), &["completions", "bash"]);
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    std::fs::write(folder.path().join("tidegate.bash"), ran.out).unwrap();
    let completed = |words: &str| {
        let script = format!(
            "source tidegate.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _tidegate tidegate \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let ran = Command::new("bash").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("tidegate che"), "check");
    assert_eq!(completed("tidegate check --pri"), "--print");
    assert_eq!(completed("tidegate completions fi"), "fish");
}

#[test]
fn every_shell_has_completions_that_name_every_command() {
    let folder = tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(folder.path(), &["completions", shell]).out;
        for command in ["serve", "check", "enqueue", "dead", "job"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(run(folder.path(), &["completions", "tcsh"]).code, Some(64));
}

#[test]
fn the_manual_has_a_page_for_each_command_and_says_what_ends_mean() {
    let folder = tempdir().unwrap();
    let page = run(folder.path(), &["man"]).out;
    for part in [".TH tidegate 1", "EXIT STATUS", "SIGHUP", "TIDEGATE__SECTION__KEY", "tidegate\\-serve(1)"] {
        assert!(page.contains(part), "{part} is in\n{page}");
    }
    let ran = run(folder.path(), &["man", "--to", "pages/man1"]);
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", ""));
    let pages = folder.path().join("pages/man1");
    for name in ["tidegate.1", "tidegate-serve.1", "tidegate-dead-replay.1", "tidegate-job.1"] {
        let page = std::fs::read_to_string(pages.join(name)).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    // A file is where the directory should be.
    assert_eq!(run(folder.path(), &["man", "--to", "pages/man1/tidegate.1"]).code, Some(74));
}
