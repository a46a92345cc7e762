//! A model's signature, from the `MLmodel` file that MLflow keeps beside it.
//!
//! Source: `mlflow/models/signature.py` and `mlflow/types/schema.py` of MLflow 3.17, and an `MLmodel` file that it wrote:
//! YAML whose `signature.inputs` and `signature.outputs` are texts of JSON. What must stay true: a file of any bytes gives
//! a signature, none, or a reason.

use serde::Deserialize;
use serde_json::Value;

use crate::{ModelSignature, SignatureField};

/// Fields read of one side of a signature; a wider model is described by its first ones.
const MAX_FIELDS: usize = 2_000;

#[derive(Deserialize)]
struct MlModel {
    signature: Option<Texts>,
}

#[derive(Deserialize)]
struct Texts {
    inputs: Option<String>,
    outputs: Option<String>,
}

/// Reads an `MLmodel` file; `None` where it holds no signature.
pub(super) fn read(file: &[u8]) -> Result<Option<ModelSignature>, String> {
    let text = std::str::from_utf8(file).map_err(|_| "its `MLmodel` file is not UTF-8".to_owned())?;
    let model: MlModel =
        serde_saphyr::from_str(text).map_err(|_| "its `MLmodel` file is not of MLflow's form".to_owned())?;
    let Some(texts) = model.signature else { return Ok(None) };
    let inputs = fields(texts.inputs.as_deref())?;
    let outputs = fields(texts.outputs.as_deref())?;
    Ok(Some(ModelSignature { inputs, outputs }))
}

fn fields(text: Option<&str>) -> Result<Vec<SignatureField>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let specs: Vec<Value> =
        serde_json::from_str(text).map_err(|_| "the signature in its `MLmodel` file is not JSON".to_owned())?;
    Ok(specs.iter().take(MAX_FIELDS).map(field).collect())
}

fn field(spec: &Value) -> SignatureField {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = word(&spec["type"]);
    let tensor = &spec["tensor-spec"];
    let (datatype, shape) = if kind == "tensor" {
        let sizes = tensor["shape"].as_array().into_iter().flatten();
        (word(&tensor["dtype"]), sizes.map(|size| size.as_i64().unwrap_or(-1)).collect())
    } else {
        (kind, vec![-1])
    };
    let required = spec["required"].as_bool().unwrap_or(true);
    SignatureField { name: word(&spec["name"]), datatype: known_as(&datatype), shape, required }
}

/// MLflow's column types and `NumPy`'s element types by the names of the Open Inference Protocol.
fn known_as(datatype: &str) -> String {
    let name = match datatype {
        "boolean" | "bool" => "BOOL",
        "integer" => "INT32",
        "long" => "INT64",
        "float" => "FP32",
        "double" => "FP64",
        "string" | "str" | "object" => "BYTES",
        "datetime" => "DATETIME",
        other => match other.split_at_checked(other.find(|c: char| c.is_ascii_digit()).unwrap_or(other.len())) {
            Some(("float", bits)) => return format!("FP{bits}"),
            Some(("int", bits)) => return format!("INT{bits}"),
            Some(("uint", bits)) => return format!("UINT{bits}"),
            _ => other,
        },
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As MLflow 3.17.2 wrote it, with fewer columns.
    const FILE: &str = "artifact_path: mlflow-artifacts:/1/models/m-c68/artifacts
flavors:
  python_function:
    loader_module: mlflow.sklearn
    python_version: 3.11.7
is_signature_from_type_hint: false
mlflow_version: 3.17.2
run_id: 5250ebf7
signature:
  inputs: '[{\"type\": \"double\", \"name\": \"mean radius\", \"required\": true}, {\"type\":
    \"long\", \"name\": \"age\", \"required\": false}, {\"type\": \"string\", \"name\":
    \"it''s\"}]'
  outputs: '[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"int64\", \"shape\": [-1]}}]'
  params: null
utc_time_created: '2026-11-22 11:49:16.391450'
";

    fn field(name: &str, datatype: &str, required: bool) -> SignatureField {
        SignatureField { name: name.into(), datatype: datatype.into(), shape: vec![-1], required }
    }

    #[test]
    fn a_file_that_mlflow_wrote_is_read() {
        let signature = read(FILE.as_bytes()).unwrap().unwrap();
        let inputs = [field("mean radius", "FP64", true), field("age", "INT64", false), field("it's", "BYTES", true)];
        assert_eq!(signature.inputs, inputs);
        assert_eq!(signature.outputs, [field("", "INT64", true)]);
    }

    #[test]
    fn types_have_the_names_of_the_protocol() {
        for (datatype, expect) in
            [("float32", "FP32"), ("uint8", "UINT8"), ("bool", "BOOL"), ("array", "array"), ("", ""), ("int", "INT")]
        {
            assert_eq!(known_as(datatype), expect, "{datatype}");
        }
    }

    #[test]
    fn without_a_signature_there_is_none_and_nonsense_has_a_reason() {
        assert_eq!(read(b"flavors: {}\n"), Ok(None));
        assert_eq!(read(b"signature: null\n"), Ok(None));
        assert!(read(b"signature:\n  inputs: 'no JSON'\n").unwrap_err().contains("not JSON"));
        assert!(read(b"<html>sign in</html>").is_err());
        assert!(read(&[0xff, 0xfe]).is_err());
    }

    proptest! {
        /// A file of any bytes never panics.
        #[test]
        fn any_file_is_read_or_refused(file in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&file);
        }

        /// Neither does a signature of any text.
        #[test]
        fn any_signature_is_read_or_refused(text in "[\\[\\]{}\",:a-z0-9 -]{0,80}") {
            let _ = fields(Some(&text));
        }
    }
}
