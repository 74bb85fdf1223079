//! Running the binary, with a deadline.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No command of these tests takes so long.
const DEADLINE: Duration = Duration::from_secs(240);

/// A command that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    out: JoinHandle<String>,
    err: JoinHandle<String>,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The binary, in `folder`, without anything of ours in its environment.
pub(crate) fn tidegate(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).current_dir(folder).env_remove("TIDEGATE_LOG").env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Ran {
    Running::start(&mut tidegate(folder, args)).ended()
}

/// The same with something on its standard input.
pub(crate) fn run_with(folder: &Path, args: &[&str], input: &str) -> Ran {
    let mut running = Running::start(tidegate(folder, args).stdin(Stdio::piped()));
    let mut stdin = running.child.stdin.take().unwrap();
    // A command that ends early reads no further; that is its business.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    running.ended()
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        Self { child, out: std::thread::spawn(|| all(out)), err: std::thread::spawn(|| all(err)) }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ran {
        let give_up = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > give_up {
                self.child.kill().unwrap();
                panic!("it did not end within {DEADLINE:?}: {}", self.err.join().unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Ran { code: status.code(), out: self.out.join().unwrap(), err: self.err.join().unwrap() }
    }
}

fn all(stream: Option<impl Read>) -> String {
    let mut text = String::new();
    if let Some(mut stream) = stream {
        stream.read_to_string(&mut text).unwrap();
    }
    text
}
