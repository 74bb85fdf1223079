//! `tidegate man` and `tidegate completions`: written from the same description of the commands that reads them.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Exit, fail, print};

/// What the description does not know.
const SECTIONS: &str = r#".SH "EXIT STATUS"
.TP
0
done, or drained
.TP
64
the command line is wrong
.TP
65
some of the input is wrong; the rest was taken
.TP
69
something needed is not there and can't be waited for
.TP
70
a bug
.TP
74
a file could not be read or written
.TP
75
the drain's deadline passed and work was left; it was returned, not lost
.TP
78
the configuration is wrong
.SH ENVIRONMENT
.TP
TIDEGATE__SECTION__KEY
overrides a key of the configuration, such as TIDEGATE__SOURCE__AMQP__URI
.TP
TIDEGATE_LOG
what is logged: info, debug, tidegate::delivery=trace, …
.TP
NO_COLOR
no colour, on terminals too
.TP
NOTIFY_SOCKET, WATCHDOG_USEC
set by systemd: serve says when it is up, reloads, drains and is alive
.SH SIGNALS
.TP
SIGTERM, SIGINT
drain and end; a second one ends it at once, losing nothing
.TP
SIGHUP
load the configuration again; a bad one changes nothing
"#;

/// Print the manual page, or write one for each command.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidegate man | man -l -\n  tidegate man --to /usr/local/share/man/man1")]
pub(super) struct Manual {
    /// Write tidegate.1, tidegate-serve.1, … to this directory.
    #[arg(long, value_name = "DIRECTORY")]
    to: Option<PathBuf>,
}

impl Manual {
    pub(super) fn run(self) -> Exit {
        match self.to {
            None => print(page().trim_end()),
            Some(directory) => match write(&directory) {
                Ok(()) => Exit::Done,
                Err(error) => fail(Exit::Io, format_args!("{}: {error}", directory.display())),
            },
        }
    }
}

fn page() -> String {
    let mut text = Vec::new();
    Man::new(Cli::command()).render(&mut text).expect("writing to memory does not fail");
    String::from_utf8(text).expect("descriptions are UTF-8") + SECTIONS
}

fn write(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)?;
    // The one of the whole has more to say than its description knows.
    std::fs::write(directory.join("tidegate.1"), page())
}

/// Print a shell's completions.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate completions bash > /etc/bash_completion.d/tidegate\n  tidegate completions zsh > ~/.zfunc/_tidegate\n  tidegate completions fish > ~/.config/fish/completions/tidegate.fish"
)]
pub(super) struct Completions {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tidegate", &mut script);
        print(String::from_utf8(script).expect("scripts are UTF-8").trim_end())
    }
}
