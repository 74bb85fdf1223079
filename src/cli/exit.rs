//! Exit codes, as sysexits.h names them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or drained.
    Done,
    /// `EX_USAGE`: the command line is wrong.
    Usage,
    /// `EX_DATAERR`: some of the input is wrong; the rest was taken.
    Data,
    /// `EX_UNAVAILABLE`: something needed is not there and can't be waited for.
    Unavailable,
    /// `EX_SOFTWARE`: a bug; the books don't balance, or something panicked.
    Bug,
    /// `EX_IOERR`: a file could not be read or written.
    Io,
    /// `EX_TEMPFAIL`: the drain deadline passed and work was left; it was returned, not lost.
    WorkLeft,
    /// `EX_CONFIG`: the configuration is wrong.
    Config,
}

impl Exit {
    /// The code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::Unavailable => 69,
            Exit::Bug => 70,
            Exit::Io => 74,
            Exit::WorkLeft => 75,
            Exit::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
