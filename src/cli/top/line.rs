//! A line of the picture: parts in colours, cut where the window ends.

use crate::cli::print::clean;

/// How wide and high the picture may be, and whether in colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) colour: bool,
}

/// For a file or a pipe.
pub(super) const PLAIN: Frame = Frame { width: 160, height: usize::MAX, colour: false };

/// So many columns and rows.
#[cfg(test)]
pub(super) const fn narrow(width: usize, height: usize) -> Frame {
    Frame { width, height, colour: false }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
}

impl Paint {
    /// From the sixteen colours that every terminal's theme has chosen to be readable.
    const fn code(self) -> &'static str {
        match self {
            Paint::Plain => "",
            Paint::Bold => "\x1b[1m",
            Paint::Dim => "\x1b[2m",
            Paint::Good => "\x1b[36m",
            Paint::Warn => "\x1b[33m",
            Paint::Bad => "\x1b[1;31m",
        }
    }
}

/// A line in parts; cut at the frame's width when it ends.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<(Paint, String)>);

impl Line {
    pub(super) fn paint(mut self, paint: Paint, text: &str) -> Self {
        self.0.push((paint, clean(text)));
        self
    }

    pub(super) fn plain(self, text: &str) -> Self {
        self.paint(Paint::Plain, text)
    }

    pub(super) fn end(self, frame: Frame) -> String {
        let mut room = frame.width;
        let mut line = String::new();
        for (paint, text) in self.0 {
            let part: String = text.chars().take(room).collect();
            room -= part.chars().count();
            if frame.colour && paint != Paint::Plain {
                line.push_str(&format!("{}{part}\x1b[0m", paint.code()));
            } else {
                line.push_str(&part);
            }
        }
        line.trim_end().to_owned()
    }
}
