//! New rows, many at once: COPY in its binary format (PostgreSQL's documentation, "COPY", "Binary Format").

use sqlx::PgConnection;
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

/// From so many new rows on, two round trips more cost less than what COPY saves.
pub(super) const COPY_FROM: usize = 64;

/// So many bytes are sent at a time.
const PIECE: usize = 1 << 20;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Where Postgres counts microseconds from.
const EPOCH: OffsetDateTime = datetime!(2000-01-01 0:00 UTC);

/// Copies rows into a table: `into` is its name and the columns, in the order in which `put` gives their values. A row whose
/// key is there already fails the transaction.
pub(super) async fn copy<R>(
    conn: &mut PgConnection,
    into: &'static str,
    rows: impl IntoIterator<Item = R>,
    put: impl Fn(R, &mut Tuple<'_>),
) -> Result<(), sqlx::Error> {
    let mut copying = conn.copy_in_raw(&format!("COPY {into} FROM STDIN (FORMAT binary)")).await?;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(SIGNATURE);
    // No flags, and no extension of the header.
    bytes.extend_from_slice(&[0; 8]);
    for row in rows {
        let mut tuple = Tuple::begin(&mut bytes);
        put(row, &mut tuple);
        tuple.end();
        if bytes.len() >= PIECE {
            copying.send(bytes.as_slice()).await?;
            bytes.clear();
        }
    }
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    copying.send(bytes.as_slice()).await?;
    copying.finish().await?;
    Ok(())
}

/// One row on its way.
pub(super) struct Tuple<'a> {
    bytes: &'a mut Vec<u8>,
    /// Where its number of fields goes.
    at: usize,
    fields: i16,
}

/// What a column can hold.
pub(super) trait Field {
    /// Appends the value as Postgres sends and receives it; false for NULL.
    fn write(self, bytes: &mut Vec<u8>) -> bool;
}

// === impl Tuple ===

impl<'a> Tuple<'a> {
    fn begin(bytes: &'a mut Vec<u8>) -> Self {
        let at = bytes.len();
        bytes.extend_from_slice(&0_i16.to_be_bytes());
        Self { bytes, at, fields: 0 }
    }

    /// Adds the value of the next column.
    pub(super) fn put(&mut self, value: impl Field) -> &mut Self {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        if value.write(self.bytes) {
            let length = i32::try_from(self.bytes.len() - at - 4).expect("a value is less than a gigabyte");
            self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        self.fields += 1;
        self
    }

    fn end(self) {
        self.bytes[self.at..self.at + 2].copy_from_slice(&self.fields.to_be_bytes());
    }
}

// === impl Field ===

impl Field for Uuid {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        bytes.extend_from_slice(self.as_bytes());
        true
    }
}

impl Field for i64 {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        bytes.extend_from_slice(&self.to_be_bytes());
        true
    }
}

impl Field for i32 {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        bytes.extend_from_slice(&self.to_be_bytes());
        true
    }
}

impl Field for &[u8] {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        bytes.extend_from_slice(self);
        true
    }
}

impl Field for &str {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        self.as_bytes().write(bytes)
    }
}

impl Field for String {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        self.as_bytes().write(bytes)
    }
}

impl Field for Vec<u8> {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        self.as_slice().write(bytes)
    }
}

impl Field for OffsetDateTime {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        let micros = (self - EPOCH).whole_microseconds();
        i64::try_from(micros).expect("a year of four digits is in the range of Postgres").write(bytes)
    }
}

impl<T: Field> Field for Option<T> {
    fn write(self, bytes: &mut Vec<u8>) -> bool {
        self.is_some_and(|value| value.write(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_number_of_its_fields_and_their_lengths() {
        let mut bytes = Vec::new();
        let mut tuple = Tuple::begin(&mut bytes);
        tuple.put(1_i32).put("ab").put(None::<i64>).put(Some(EPOCH + time::Duration::microseconds(-2)));
        tuple.end();
        let expected = [
            [0, 4].as_slice(),
            &[0, 0, 0, 4, 0, 0, 0, 1],
            &[0, 0, 0, 2, b'a', b'b'],
            &[255, 255, 255, 255],
            &[0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 254],
        ];
        assert_eq!(bytes, expected.concat());
    }
}
