//! The alphabet of all stored forms: little-endian numbers, variable-length counts, length-prefixed text, values as JSON.

use ecow::EcoString;

use crate::time::Timestamp;
use crate::value::{ParseLimits, Value};

/// Why stored bytes can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// They end too early.
    #[error("the stored form ends too early, at byte {at}")]
    Short {
        /// Where.
        at: usize,
    },
    /// They hold something that is not in the format.
    #[error("not a stored {what}: {found} at byte {at}")]
    Invalid {
        /// What was expected.
        what: &'static str,
        /// What stands there.
        found: String,
        /// Where.
        at: usize,
    },
}

/// Appends to a buffer.
pub struct Writer<'a> {
    /// The buffer.
    pub out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// A count or small number: 7 bits a byte, low first (LEB128).
    pub fn count(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// 128 bits.
    pub fn u128(&mut self, value: u128) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A moment.
    pub fn time(&mut self, value: Timestamp) {
        self.out.extend_from_slice(&value.micros().to_le_bytes());
    }

    /// Bytes, their length first.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// Text.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// A value, as JSON.
    pub fn value(&mut self, value: &Value) {
        // The length goes before and is not known: four bytes are kept free for it.
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        value.write_json(self.out);
        let length = u32::try_from(self.out.len() - at - 4).unwrap_or(u32::MAX);
        self.out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// A value whose JSON text is at hand, in parts.
    pub fn json(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        parts.iter().for_each(|part| self.out.extend_from_slice(part));
    }

    /// Something that may be absent.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
            }
        }
    }

    /// A list, its length first.
    pub fn list<T>(&mut self, items: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.count(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }
}

/// Reads what a [`Writer`] wrote; never past the end, never more than there is.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Whether all was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// All bytes not yet read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// An error at this place.
    pub fn invalid(&self, what: &'static str, found: impl ToString) -> CodecError {
        CodecError::Invalid { what, found: found.to_string(), at: self.at }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(CodecError::Short { at: self.bytes.len() })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    /// A count.
    pub fn count(&mut self) -> Result<u64, CodecError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.invalid("count", "more than 64 bits"))
    }

    /// A count of 32 bits.
    pub fn count_u32(&mut self) -> Result<u32, CodecError> {
        let value = self.count()?;
        u32::try_from(value).map_err(|_| self.invalid("count of 32 bits", value))
    }

    /// 128 bits.
    pub fn u128(&mut self) -> Result<u128, CodecError> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A moment.
    pub fn time(&mut self) -> Result<Timestamp, CodecError> {
        Ok(Timestamp(u64::from_le_bytes(self.array()?)))
    }

    /// Bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.count()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Text.
    pub fn text(&mut self) -> Result<EcoString, CodecError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(EcoString::from).map_err(|error| self.invalid("text", error))
    }

    /// The JSON text of a value.
    fn json(&mut self) -> Result<&'a [u8], CodecError> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(length as usize)
    }

    /// A value.
    pub fn value(&mut self) -> Result<Value, CodecError> {
        let json = self.json()?;
        Value::parse(json, &ParseLimits { depth_max: 10_000 }).map_err(|error| self.invalid("value", error))
    }

    /// Goes past a value.
    pub fn skip_value(&mut self) -> Result<(), CodecError> {
        self.json().map(|_| ())
    }

    /// Something that may be absent.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            other => Err(self.invalid("presence mark", other)),
        }
    }

    /// A list.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, CodecError>) -> Result<Vec<T>, CodecError> {
        let length = self.count()?;
        let mut items = Vec::with_capacity(usize::try_from(length).unwrap_or(0).min(1_024));
        for _ in 0..length {
            items.push(read(self)?);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        let mut writer = Writer { out: &mut out };
        writer.count(300);
        writer.text("ü");
        writer.option(Some(7_u8), Writer::u8);
        writer.list([1_u64, u64::MAX].into_iter(), Writer::count);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.count(), Ok(300));
        assert_eq!(reader.text().as_deref(), Ok("ü"));
        assert_eq!(reader.option(Reader::u8), Ok(Some(7)));
        assert_eq!(reader.list(Reader::count), Ok(vec![1, u64::MAX]));
        assert!(reader.is_empty());
    }

    #[test]
    fn short_and_wrong_bytes_are_errors() {
        assert_eq!(Reader::new(&[5, b'a']).text(), Err(CodecError::Short { at: 2 }));
        assert!(Reader::new(&[0xFF; 11]).count().is_err());
        assert!(Reader::new(&[2]).option(Reader::u8).is_err());
    }
}
