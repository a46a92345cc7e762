//! Tables in Parquet files (format specification 2, <https://parquet.apache.org/docs/file-format/>).
//!
//! What it hides: column chunks, encodings, compression (snappy, zstd, gzip and none). What must stay true: a column that
//! is no plain value is refused by name, never flattened silently.

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use pilothouse_api::tables;
use pilothouse_domain::{Cell, Table};

use crate::failure::Failure;

/// A Parquet file begins (and ends) with these bytes.
const MAGIC: &[u8] = b"PAR1";

/// Whether these are the bytes of a Parquet file.
pub(crate) fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads a table.
pub(crate) fn read(bytes: Vec<u8>) -> Result<Table, Failure> {
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(|error| refused(&error))?;
    let file = reader.metadata().file_metadata();
    if file.num_rows() > tables::ROWS_MAX as i64 {
        let message = format!("the table has {} rows, more than {}", file.num_rows(), tables::ROWS_MAX);
        return Err(Failure::usage(message).hint("take a sample of it"));
    }
    let names = file.schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    let mut rows = Vec::new();
    for row in reader.get_row_iter(None).map_err(|error| refused(&error))? {
        let row = row.map_err(|error| refused(&error))?;
        rows.push(
            row.get_column_iter().map(|(name, field)| cell(name, field)).collect::<Result<Vec<Cell>, Failure>>()?,
        );
    }
    Ok(tables::from_cells(names, rows)?)
}

fn refused(error: &ParquetError) -> Failure {
    Failure::usage(format!("the Parquet file cannot be read: {error}"))
}

fn cell(name: &str, field: &Field) -> Result<Cell, Failure> {
    Ok(match field {
        Field::Null => Cell::Missing,
        Field::Bool(value) => Cell::Text(value.to_string()),
        Field::Byte(value) => Cell::Number(f64::from(*value)),
        Field::Short(value) => Cell::Number(f64::from(*value)),
        Field::Int(value) => Cell::Number(f64::from(*value)),
        Field::Long(value) => Cell::Number(*value as f64),
        Field::UByte(value) => Cell::Number(f64::from(*value)),
        Field::UShort(value) => Cell::Number(f64::from(*value)),
        Field::UInt(value) => Cell::Number(f64::from(*value)),
        Field::ULong(value) => Cell::Number(*value as f64),
        // Not a number is how data frames write a missing one.
        Field::Float(value) if value.is_nan() => Cell::Missing,
        Field::Double(value) if value.is_nan() => Cell::Missing,
        Field::Float(value) => Cell::Number(f64::from(*value)),
        Field::Double(value) => Cell::Number(*value),
        Field::Str(text) => Cell::Text(text.clone()),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => return Err(Failure::usage(format!("the column `{name}` holds bytes that are no text"))),
        },
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            return Err(Failure::usage(format!("the column `{name}` holds nested values"))
                .hint("give one plain value per row and column"));
        }
        // Decimals, half floats, dates and times as the format's own text; numbers are read from it.
        other => Cell::Text(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::{Compression, GzipLevel, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn file(schema: &str, compression: Compression) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).expect("a writer");
        let mut group = writer.next_row_group().expect("a row group");
        let mut column = group.next_column().expect("no failure").expect("the first column");
        column.typed::<DoubleType>().write_batch(&[1.5, f64::NAN], Some(&[1, 0, 1]), None).expect("numbers");
        column.close().expect("an end");
        let mut column = group.next_column().expect("no failure").expect("the second column");
        let texts = ["car", "radio, TV", "car"].map(ByteArray::from);
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).expect("texts");
        column.close().expect("an end");
        group.close().expect("an end");
        writer.close().expect("an end");
        bytes
    }

    #[test]
    fn numbers_texts_and_gaps_are_read_whatever_the_compression() {
        let schema = "message rows { optional double amount; required binary purpose (UTF8); }";
        let same = tables::read("amount,purpose\n1.5,car\n,\"radio, TV\"\n,car\n").expect("CSV");
        let zstd = Compression::ZSTD(ZstdLevel::default());
        for compression in
            [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd, Compression::GZIP(GzipLevel::default())]
        {
            let bytes = file(schema, compression);
            assert!(is_parquet(&bytes));
            assert_eq!(read(bytes), Ok(same.clone()), "{compression:?}");
        }
    }

    #[test]
    fn broken_files_are_refused() {
        let whole =
            file("message rows { optional double amount; required binary purpose (UTF8); }", Compression::SNAPPY);
        for length in [4, 12, whole.len() / 2, whole.len() - 1] {
            let failure = read(whole[..length].to_vec()).expect_err("a part of a file");
            assert_eq!(failure.exit, 2);
        }
        assert!(!is_parquet(b"PA"));
    }
}
