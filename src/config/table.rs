//! The language in which [`keys`](super::keys) says which keys there are.
//!
//! It is data: reading, the nearest name for a mistyped one, the JSON Schema and the printed defaults all follow it.

/// A table of the configuration.
pub(super) struct Table {
    /// Its keys, in groups, so that tables can share some.
    pub keys: &'static [&'static [Key]],
    /// Whether it is there when nobody wrote it (its defaults then hold).
    pub always: bool,
    /// The key that a bare value in place of the table stands for.
    pub shorthand: Option<&'static str>,
    /// The table (by its path) whose values hold where this one says nothing.
    pub inherits: Option<&'static str>,
    /// What its keys must be to one another.
    pub rules: &'static [Rule],
}

/// What the keys of a table must be to one another.
pub(super) enum Rule {
    /// Exactly one of these groups, and that wholly.
    OneOf(&'static [&'static [&'static str]]),
    /// All of these or none.
    Together(&'static [&'static str]),
    /// At least one of the table's keys; the text is what to add.
    Something(&'static str),
}

/// A key.
pub(super) struct Key {
    /// Its name within its table.
    pub name: &'static str,
    /// What may stand there.
    pub shape: Shape,
    /// What it means, for people.
    pub doc: &'static str,
}

/// What may stand under a key.
pub(super) enum Shape {
    /// A value.
    Value(Kind, Absent),
    /// A table.
    Table(&'static Table),
    /// A table of tables with names of the operator's choice.
    Named(&'static Table),
    /// A list of tables (`[[…]]`).
    Rows(&'static Table),
    /// Nothing yet: a key of a later version.
    Later,
}

/// What holds where a key is not written.
#[derive(Clone, Copy)]
pub(super) enum Absent {
    /// It must be written.
    Required,
    /// Nothing.
    Unset,
    /// This value, as one would write it.
    Is(Literal),
    /// What follows from other keys, in words.
    Derived(&'static str),
}

/// A default, as one would write it.
#[derive(Clone, Copy)]
pub(super) enum Literal {
    Text(&'static str),
    Whole(u64),
    Flag(bool),
    List(&'static [&'static str]),
}

/// What a value may be. Ranges include both ends.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole { min: u64, max: u64 },
    /// A time with its unit; limits in milliseconds, and what it must be a multiple of.
    Duration { min: u64, max: u64, grain: u64 },
    /// A size with its unit; limits in bytes.
    Size { min: u64, max: u64 },
    /// A number per time, or `unlimited`.
    Rate,
    /// A text of `min` to `max` characters of one class.
    Text { min: usize, max: usize, class: Class },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any of these words, each at most once.
    Choices(&'static [&'static str]),
    /// An IP address and a port.
    Address,
    /// `https://host`, with a port or without, and nothing behind it.
    Endpoint,
    /// A file's name; a relative one counts from the configuration's directory.
    File,
    /// A secret: `file:…`, `env:…`, or the secret itself. Never shown.
    Secret,
    /// A list of secrets.
    Secrets,
    /// A list of push services: `host`, `*.domain` or `*`, each with a port or without.
    Services,
    /// A list of networks, as `10.0.0.0/8`.
    Networks,
}

/// Which characters a text may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Visible ASCII.
    Visible,
    /// Letters, digits, `.`, `_` and `-`.
    Name,
    /// Letters and digits.
    Alphanumeric,
}

impl Kind {
    /// Whether it must never be shown.
    pub(super) const fn is_secret(self) -> bool {
        matches!(self, Kind::Secret | Kind::Secrets)
    }
}

impl Table {
    /// All its keys, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().flat_map(|group| group.iter())
    }

    /// The key of that name.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.all().find(|key| key.name == name)
    }

    /// The names of the keys that have an effect.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all().filter(|key| !matches!(key.shape, Shape::Later)).map(|key| key.name)
    }
}

impl Class {
    /// Whether it has this character.
    pub(super) fn has(self, c: char) -> bool {
        match self {
            Class::Visible => c.is_ascii_graphic(),
            Class::Name => c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
            Class::Alphanumeric => c.is_ascii_alphanumeric(),
        }
    }

    /// It, for people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Class::Visible => "visible ASCII characters",
            Class::Name => "letters, digits, '.', '_' and '-'",
            Class::Alphanumeric => "letters and digits",
        }
    }

    /// It, in a pattern.
    pub(super) const fn pattern(self) -> &'static str {
        match self {
            Class::Visible => "[!-~]",
            Class::Name => "[A-Za-z0-9._-]",
            Class::Alphanumeric => "[A-Za-z0-9]",
        }
    }
}

/// How an app may be called: letters, digits, `_` and `-`. No dot, because the name is a word of the outcomes' routing keys.
pub(super) const APP_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$";

/// Whether `name` fits [`APP_NAME`].
pub(super) fn is_app_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits)
}
