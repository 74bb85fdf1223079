//! What commands say: results to standard output, the rest to standard error.
//!
//! `println!` panics where nobody reads any more (`tidegate schema job | head -1`) or the disk is full. Here the first is
//! an end like any other, the second an error with a code.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use super::Exit;

/// Prints a result, and a line feed. `Done` also if the reader has gone: it has what it wanted.
pub(super) fn print(result: impl Display) -> Exit {
    match write(&mut io::stdout().lock(), result) {
        Ok(()) => Exit::Done,
        Err(error) => fail(Exit::Io, format_args!("standard output: {error}")),
    }
}

/// Tells what goes on, to whoever watches.
pub(super) fn tell(text: impl Display) {
    // There is nobody else to tell that nobody listens.
    let _ = write(&mut io::stderr().lock(), text);
}

/// Tells an error as every command does, and gives its code.
pub(super) fn fail(exit: Exit, error: impl Display) -> Exit {
    tell(format_args!("error: {error}"));
    exit
}

/// Others' words without what a terminal would obey.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

fn write(to: &mut impl Write, text: impl Display) -> io::Result<()> {
    let written = writeln!(to, "{text}").and_then(|()| to.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is() {
        assert!(write(&mut Broken(ErrorKind::BrokenPipe), "text").is_ok());
        assert!(write(&mut Broken(ErrorKind::StorageFull), "text").is_err());
        let mut good = Vec::new();
        assert!(write(&mut good, "text").is_ok());
        assert_eq!(good, b"text\n");
    }
}
