//! Header blocks to fields (RFC 7541, sections 5 and 6).

use super::huffman;
use super::table::{Dynamic, STATIC, cost};

/// A name (lower case as sent) and a value. Values that are not UTF-8 are read lossily: nothing of ours sends such.
pub type Field = (String, String);

/// The largest header block an integer or a string may ask for, bytes; far above any SETTINGS of ours.
const LARGEST_INTEGER: usize = 1 << 24;

/// Why a block can't be read; the connection is over (COMPRESSION_ERROR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// It ends within a field.
    Truncated,
    /// No such entry in the tables.
    Index,
    /// An integer beyond all reason.
    Integer,
    /// A bad Huffman code.
    Huffman,
    /// A size update above our SETTINGS_HEADER_TABLE_SIZE, or not at the block's start.
    TableSize,
}

/// A decoded block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The fields in order, without those that did not fit the limit.
    pub fields: Vec<Field>,
    /// Whether the list was above the limit: some fields are missing.
    pub oversized: bool,
}

/// One direction's decoding state.
#[derive(Debug)]
pub struct Decoder {
    table: Dynamic,
    table_limit: usize,
    list_limit: usize,
}

impl Decoder {
    /// A decoder that announced `table_limit` (HEADER_TABLE_SIZE) and `list_limit` (MAX_HEADER_LIST_SIZE), bytes.
    #[must_use]
    pub fn new(table_limit: usize, list_limit: usize) -> Self {
        Self { table: Dynamic::new(table_limit), table_limit, list_limit }
    }

    /// Decodes a whole block. Fields above the list limit are decoded, because the table needs them, but not kept.
    ///
    /// # Errors
    /// [`Error`]; the state is unusable from then on.
    pub fn decode(&mut self, block: &[u8]) -> Result<Block, Error> {
        let mut input = Input { rest: block };
        let mut list = List { fields: Vec::with_capacity(12), size: 0, limit: self.list_limit };
        let mut started = false;
        while let Some(first) = input.peek() {
            match first {
                0x80.. => list.push(self.indexed(&mut input)?),
                0x40..=0x7f => {
                    let field = self.literal(&mut input, 6)?;
                    self.table.insert(field.clone());
                    list.push(field);
                }
                0x20..=0x3f if started => return Err(Error::TableSize),
                0x20..=0x3f => {
                    self.resize(&mut input)?;
                    continue;
                }
                _ => list.push(self.literal(&mut input, 4)?),
            }
            started = true;
        }
        Ok(Block { oversized: list.size > list.limit, fields: list.fields })
    }

    /// What the dynamic table holds, bytes.
    #[cfg(test)]
    pub(super) fn table_size(&self) -> usize {
        self.table.size()
    }

    fn indexed(&self, input: &mut Input<'_>) -> Result<Field, Error> {
        let index = input.integer(7)?;
        self.entry(index).map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    fn literal(&self, input: &mut Input<'_>, prefix: u32) -> Result<Field, Error> {
        let name = match input.integer(prefix)? {
            0 => input.string()?,
            index => self.entry(index)?.0.to_owned(),
        };
        Ok((name, input.string()?))
    }

    fn resize(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        let limit = input.integer(5)?;
        if limit > self.table_limit {
            return Err(Error::TableSize);
        }
        self.table.resize(limit);
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<(&str, &str), Error> {
        let nth = index.checked_sub(1).ok_or(Error::Index)?;
        if let Some(entry) = STATIC.get(nth) {
            return Ok(*entry);
        }
        let (name, value) = self.table.get(nth - STATIC.len()).ok_or(Error::Index)?;
        Ok((name, value))
    }
}

struct List {
    fields: Vec<Field>,
    size: usize,
    limit: usize,
}

impl List {
    fn push(&mut self, field: Field) {
        self.size = self.size.saturating_add(cost(&field));
        if self.size <= self.limit {
            self.fields.push(field);
        }
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.rest.split_first().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// An integer with a prefix of that many bits (section 5.1).
    fn integer(&mut self, prefix: u32) -> Result<usize, Error> {
        let mask = (1usize << prefix) - 1;
        let mut value = usize::from(self.byte()?) & mask;
        if value < mask {
            return Ok(value);
        }
        for shift in (0..28).step_by(7) {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if value > LARGEST_INTEGER {
                return Err(Error::Integer);
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Integer)
    }

    /// A string literal (section 5.2).
    fn string(&mut self) -> Result<String, Error> {
        let coded = self.peek().ok_or(Error::Truncated)? & 0x80 != 0;
        let length = self.integer(7)?;
        let (string, rest) = self.rest.split_at_checked(length).ok_or(Error::Truncated)?;
        self.rest = rest;
        let bytes = match coded {
            true => huffman::decode(string).map_err(|_| Error::Huffman)?,
            false => string.to_vec(),
        };
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}
