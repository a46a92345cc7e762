//! The values of a tensor in a message: in a list of their type, or as the bytes that a machine holds ("raw").
//!
//! Source: `open_inference_grpc.proto`, "`InferTensorContents`" and "`raw_output_contents`": little-endian, row-major,
//! `BOOL` in one byte, each element of `BYTES` behind its length in four. What must stay true: bytes of any length give
//! values or a reason; an answer holds no more values than its memory allows.

use half::{bf16, f16};
use pilothouse_domain::{Cell, TargetFailure};
use prost::bytes::{BufMut, Bytes, BytesMut};

use super::super::tensors::Value;
use super::messages::InferTensorContents;
use crate::bounded_json::MAX_WEIGHT;
use crate::transport::Failure;

/// A tensor data type of the protocol ("Tensor Data Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

impl Kind {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "BOOL" => Self::Bool,
            "INT8" => Self::Int8,
            "INT16" => Self::Int16,
            "INT32" => Self::Int32,
            "INT64" => Self::Int64,
            "UINT8" => Self::Uint8,
            "UINT16" => Self::Uint16,
            "UINT32" => Self::Uint32,
            "UINT64" => Self::Uint64,
            "FP16" => Self::Fp16,
            "BF16" => Self::Bf16,
            "FP32" => Self::Fp32,
            "FP64" => Self::Fp64,
            "BYTES" => Self::Bytes,
            _ => return None,
        })
    }

    /// Whether no list has this type, so that its values can only be sent as bytes.
    pub(super) const fn is_raw_only(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16)
    }

    /// Adds a value to the list of its type, or says what the value is that does not fit.
    pub(super) fn add(self, contents: &mut InferTensorContents, value: &Value<'_>) -> Result<(), String> {
        match self {
            Self::Bool => contents.bool_contents.push(integer::<u8>(value)? != 0),
            Self::Int8 => contents.int_contents.push(integer::<i8>(value)?.into()),
            Self::Int16 => contents.int_contents.push(integer::<i16>(value)?.into()),
            Self::Int32 => contents.int_contents.push(integer(value)?),
            Self::Int64 => contents.int64_contents.push(integer(value)?),
            Self::Uint8 => contents.uint_contents.push(integer::<u8>(value)?.into()),
            Self::Uint16 => contents.uint_contents.push(integer::<u16>(value)?.into()),
            Self::Uint32 => contents.uint_contents.push(integer(value)?),
            Self::Uint64 => contents.uint64_contents.push(integer(value)?),
            Self::Fp16 | Self::Bf16 | Self::Fp32 => contents.fp32_contents.push(float(value)? as f32),
            Self::Fp64 => contents.fp64_contents.push(float(value)?),
            Self::Bytes => contents.bytes_contents.push(Bytes::copy_from_slice(text(value)?.as_bytes())),
        }
        Ok(())
    }

    /// Appends a value as bytes, or says what the value is that does not fit.
    pub(super) fn put(self, raw: &mut BytesMut, value: &Value<'_>) -> Result<(), String> {
        match self {
            Self::Bool | Self::Uint8 => raw.put_u8(integer(value)?),
            Self::Int8 => raw.put_i8(integer(value)?),
            Self::Int16 => raw.put_i16_le(integer(value)?),
            Self::Int32 => raw.put_i32_le(integer(value)?),
            Self::Int64 => raw.put_i64_le(integer(value)?),
            Self::Uint16 => raw.put_u16_le(integer(value)?),
            Self::Uint32 => raw.put_u32_le(integer(value)?),
            Self::Uint64 => raw.put_u64_le(integer(value)?),
            Self::Fp16 => raw.put_slice(&f16::from_f64(float(value)?).to_le_bytes()),
            Self::Bf16 => raw.put_slice(&bf16::from_f64(float(value)?).to_le_bytes()),
            Self::Fp32 => raw.put_f32_le(float(value)? as f32),
            Self::Fp64 => raw.put_f64_le(float(value)?),
            Self::Bytes => {
                let text = text(value)?;
                raw.put_u32_le(text.len() as u32);
                raw.put_slice(text.as_bytes());
            }
        }
        Ok(())
    }
}

fn integer<T: TryFrom<i64>>(value: &Value<'_>) -> Result<T, String> {
    let integer = match value {
        Value::Integer(integer) => *integer,
        Value::Bool(bool) => i64::from(*bool),
        other => return Err(words(other)),
    };
    T::try_from(integer).map_err(|_| format!("the number {integer}"))
}

fn float(value: &Value<'_>) -> Result<f64, String> {
    match value {
        Value::Number(number) => Ok(*number),
        // As NumPy reads `null` in a tensor of floats.
        Value::Missing => Ok(f64::NAN),
        other => Err(words(other)),
    }
}

fn text<'a>(value: &'a Value<'_>) -> Result<&'a str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(words(other)),
    }
}

fn words(value: &Value<'_>) -> String {
    match value {
        Value::Number(number) => format!("the number {number}"),
        Value::Integer(integer) => format!("the number {integer}"),
        Value::Bool(bool) => format!("the word {bool}"),
        Value::Text(text) => format!("the text `{text}`"),
        Value::Missing => "a missing value, for which gRPC has no word".into(),
    }
}

/// The values of an output, from the list of its type.
pub(super) fn listed(name: &str, datatype: &str, contents: &InferTensorContents) -> Result<Vec<Cell>, Failure> {
    let kind = known(name, datatype)?;
    let lengths = [
        contents.bool_contents.len(),
        contents.int_contents.len(),
        contents.int64_contents.len(),
        contents.uint_contents.len(),
        contents.uint64_contents.len(),
        contents.fp32_contents.len(),
        contents.fp64_contents.len(),
        contents.bytes_contents.len(),
    ];
    check_weight(lengths.iter().sum())?;
    let number = |value: f64| Cell::Number(value);
    let cells: Vec<Cell> = match kind {
        Kind::Bool => contents.bool_contents.iter().map(|value| number(f64::from(u8::from(*value)))).collect(),
        Kind::Int8 | Kind::Int16 | Kind::Int32 => {
            contents.int_contents.iter().map(|value| number(f64::from(*value))).collect()
        }
        Kind::Int64 => contents.int64_contents.iter().map(|value| number(*value as f64)).collect(),
        Kind::Uint8 | Kind::Uint16 | Kind::Uint32 => {
            contents.uint_contents.iter().map(|value| number(f64::from(*value))).collect()
        }
        Kind::Uint64 => contents.uint64_contents.iter().map(|value| number(*value as f64)).collect(),
        Kind::Fp16 | Kind::Bf16 | Kind::Fp32 => {
            contents.fp32_contents.iter().map(|value| float_cell(f64::from(*value))).collect()
        }
        Kind::Fp64 => contents.fp64_contents.iter().map(|value| float_cell(*value)).collect(),
        Kind::Bytes => contents.bytes_contents.iter().map(|value| text_cell(value)).collect(),
    };
    if cells.is_empty() && lengths.iter().any(|length| *length > 0) {
        let problem = format!("the output `{name}` says {datatype} and holds values of another type");
        return Err(Failure::target(TargetFailure::WrongDtype, problem));
    }
    Ok(cells)
}

/// The values of an output, from its bytes.
pub(super) fn from_raw(name: &str, datatype: &str, raw: &[u8]) -> Result<Vec<Cell>, Failure> {
    /// Elements of a fixed size.
    fn cells<const N: usize>(raw: &[u8], read: fn([u8; N]) -> f64) -> Option<Vec<Cell>> {
        let (elements, rest) = raw.as_chunks::<N>();
        rest.is_empty().then(|| elements.iter().map(|element| float_cell(read(*element))).collect())
    }
    let kind = known(name, datatype)?;
    check_weight(raw.len() / kind.least_bytes())?;
    let cells = match kind {
        Kind::Bool => cells(raw, |[byte]: [u8; 1]| f64::from(u8::from(byte != 0))),
        Kind::Int8 => cells(raw, |bytes| f64::from(i8::from_le_bytes(bytes))),
        Kind::Int16 => cells(raw, |bytes| f64::from(i16::from_le_bytes(bytes))),
        Kind::Int32 => cells(raw, |bytes| f64::from(i32::from_le_bytes(bytes))),
        Kind::Int64 => cells(raw, |bytes| i64::from_le_bytes(bytes) as f64),
        Kind::Uint8 => cells(raw, |bytes| f64::from(u8::from_le_bytes(bytes))),
        Kind::Uint16 => cells(raw, |bytes| f64::from(u16::from_le_bytes(bytes))),
        Kind::Uint32 => cells(raw, |bytes| f64::from(u32::from_le_bytes(bytes))),
        Kind::Uint64 => cells(raw, |bytes| u64::from_le_bytes(bytes) as f64),
        Kind::Fp16 => cells(raw, |bytes| f16::from_le_bytes(bytes).to_f64()),
        Kind::Bf16 => cells(raw, |bytes| bf16::from_le_bytes(bytes).to_f64()),
        Kind::Fp32 => cells(raw, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Kind::Fp64 => cells(raw, f64::from_le_bytes),
        Kind::Bytes => texts(raw),
    };
    cells.ok_or_else(|| {
        let problem = format!("the output `{name}` has {} bytes, which are no whole values of {datatype}", raw.len());
        Failure::target(TargetFailure::WrongDtype, problem)
    })
}

impl Kind {
    /// What an element takes at least.
    const fn least_bytes(self) -> usize {
        match self {
            Self::Bool | Self::Int8 | Self::Uint8 => 1,
            Self::Int16 | Self::Uint16 | Self::Fp16 | Self::Bf16 => 2,
            Self::Int32 | Self::Uint32 | Self::Fp32 | Self::Bytes => 4,
            Self::Int64 | Self::Uint64 | Self::Fp64 => 8,
        }
    }
}

fn texts(mut raw: &[u8]) -> Option<Vec<Cell>> {
    let mut cells = Vec::new();
    while !raw.is_empty() {
        let (length, rest) = raw.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        cells.push(text_cell(text));
        raw = rest;
    }
    Some(cells)
}

fn text_cell(bytes: &[u8]) -> Cell {
    Cell::Text(String::from_utf8_lossy(bytes).into_owned())
}

/// As over REST, where what is not finite is `null` or a bare word.
fn float_cell(number: f64) -> Cell {
    if number.is_finite() { Cell::Number(number) } else { Cell::Missing }
}

fn known(name: &str, datatype: &str) -> Result<Kind, Failure> {
    Kind::of(datatype).ok_or_else(|| {
        let problem = format!("the output `{name}` has the type `{datatype}`, which the protocol does not know");
        Failure::target(TargetFailure::ProtocolViolation, problem)
    })
}

fn check_weight(values: usize) -> Result<(), Failure> {
    if values > MAX_WEIGHT {
        let problem = format!("the answer holds too many values: more than {MAX_WEIGHT} can be held");
        return Err(Failure::target(TargetFailure::ResponseTooLarge, problem));
    }
    Ok(())
}
