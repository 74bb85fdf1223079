//! The terminal: each picture is drawn over the one before.

use std::io::Write as _;

use console::Term;

use super::line::{Frame, Line, Paint};
use super::picture::picture;
use super::shown::Shown;
use crate::cli::{Exit, fail};

/// The terminal, on its other screen; dropped, the first one is back as it was.
pub(super) struct Screen {
    terminal: Term,
}

impl Screen {
    pub(super) fn open() -> Self {
        let mut terminal = Term::stdout();
        // No terminal that is none by now is anybody's loss.
        let _ = write!(terminal, "\x1b[?1049h\x1b[?25l\x1b[2J");
        Self { terminal }
    }

    fn frame(&self) -> Frame {
        let (rows, columns) = self.terminal.size();
        Frame { width: columns.into(), height: rows.into(), colour: console::colors_enabled() }
    }

    pub(super) fn draw(&mut self, shown: &Shown) -> Exit {
        self.put(&picture(shown, self.frame()))
    }

    /// The same, with what has happened in the first line.
    pub(super) fn lost(&mut self, shown: &Shown, why: &str) {
        let frame = self.frame();
        let mut lines = picture(shown, frame);
        let lost = Line::default().paint(Paint::Bad, &format!(" {why}; trying again. What you see is as it was."));
        lines.splice(0..lines.len().min(1), [lost.end(frame)]);
        self.put(&lines);
    }

    fn put(&mut self, lines: &[String]) -> Exit {
        let mut text = String::from("\x1b[H");
        for (nth, line) in lines.iter().enumerate() {
            text.push_str(if nth > 0 { "\r\n" } else { "" });
            text.push_str(line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        let put = self.terminal.write_all(text.as_bytes()).and_then(|()| self.terminal.flush());
        put.map_or_else(|error| fail(Exit::Io, error), |()| Exit::Done)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write!(self.terminal, "\x1b[?25h\x1b[?1049l");
    }
}
