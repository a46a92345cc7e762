//! Messages as real servers sent them, and as nobody should.

use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol};
use proptest::prelude::*;
use prost::bytes::Bytes;

use super::super::tests::target;
use super::*;

const MLSERVER_INFER: &[u8] = include_bytes!("../../../tests/data/mlserver-1.7.1-grpc-infer.pb");
const TRITON_INFER: &[u8] = include_bytes!("../../../tests/data/triton-2.51.0-grpc-infer.pb");

fn v2() -> OpenInferenceGrpc {
    OpenInferenceGrpc::new(&target("http://h/", Protocol::OpenInferenceGrpc, Some("bc"))).unwrap()
}

fn number(value: f64) -> Cell {
    Cell::Number(value)
}

fn table(columns: &[&str], rows: Vec<Vec<Cell>>) -> Table {
    let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Numeric };
    Table { columns: columns.iter().map(column).collect(), rows }
}

fn input(name: &str, datatype: &str, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype: datatype.into(), shape: shape.to_vec(), optional: false }
}

fn sent(table: &Table, inputs: &[TensorSpec]) -> Result<ModelInferRequest, String> {
    let metadata = ModelMetadata { inputs: inputs.to_vec(), ..ModelMetadata::default() };
    let call = v2().predict_call(table, Some(&metadata)).map_err(|failure| failure.detail)?;
    assert_eq!(call.url.path(), "/inference.GRPCInferenceService/ModelInfer");
    Ok(ModelInferRequest::decode(call.body.unwrap()).unwrap())
}

#[test]
fn calls_follow_model_and_version() {
    let mut target = target("http://h/pre", Protocol::OpenInferenceGrpc, Some("bc"));
    target.model_version = Some("2".into());
    let versioned = OpenInferenceGrpc::new(&target).unwrap();
    let check = |call: Call, path: &str, message: &[u8]| {
        assert_eq!((call.url.path(), &call.body.unwrap()[..]), (path, message));
    };
    check(v2().health_call().unwrap(), "/inference.GRPCInferenceService/ModelReady", b"\x0a\x02bc");
    check(
        versioned.metadata_call().unwrap(),
        "/pre/inference.GRPCInferenceService/ModelMetadata",
        b"\x0a\x02bc\x12\x012",
    );
    target.model = None;
    assert!(OpenInferenceGrpc::new(&target).is_err());
    target.model_version = None;
    let server = OpenInferenceGrpc::new(&target).unwrap();
    check(server.health_call().unwrap(), "/pre/inference.GRPCInferenceService/ServerReady", b"");
    assert!(server.metadata_call().is_none() && server.predict_call(&Table::default(), None).is_err());
}

#[test]
fn answers_of_real_servers_are_read() {
    let answer = v2().read_prediction(MLSERVER_INFER, 1).unwrap();
    assert_eq!((answer.rows, answer.version), (vec![vec![number(1.0)]], Some("2".into())));
    let answer = v2().read_prediction(TRITON_INFER, 2).unwrap();
    assert_eq!((answer.rows, answer.version), (vec![vec![number(0.0)], vec![number(1.0)]], Some("1".into())));

    let read = |bytes: &[u8]| v2().read_metadata(bytes).unwrap();
    let metadata = read(include_bytes!("../../../tests/data/mlserver-1.7.1-grpc-metadata.pb"));
    assert_eq!(metadata.inputs, [input("predict", "FP64", &[-1, 30])]);
    assert_eq!((metadata.platform.as_deref(), metadata.versions.len()), (Some("sklearn"), 0));
    let metadata = read(include_bytes!("../../../tests/data/triton-2.51.0-grpc-metadata.pb"));
    assert_eq!((metadata.inputs, metadata.versions), (vec![input("rows", "FP64", &[-1, 2])], vec!["1".to_owned()]));

    let index = read_index(include_bytes!("../../../tests/data/mlserver-1.7.1-grpc-index.pb")).unwrap();
    assert_eq!((index.len(), index[0].version.as_deref(), index[0].state.as_deref()), (2, Some("2"), Some("READY")));
    let mut metadata = ModelMetadata::default();
    let server = include_bytes!("../../../tests/data/triton-2.51.0-grpc-server.pb");
    v2().read_further(0, server, &mut metadata).unwrap();
    assert_eq!(metadata.server.as_deref(), Some("triton 2.51.0"));
}

#[test]
fn health_is_what_the_server_says_and_nothing_more() {
    assert_eq!(v2().read_health(b"\x08\x01"), Ok(()));
    let outcome = |body: &[u8]| v2().read_health(body).unwrap_err().outcome;
    // Triton says `false` by an empty message.
    assert_eq!(outcome(b""), Outcome::TargetFailed(TargetFailure::NotReady));
    assert_eq!(outcome(b"\xff"), Outcome::TargetFailed(TargetFailure::BodyMalformed));
}

#[test]
fn refusals_have_the_reasons_of_their_likes_over_rest() {
    use TargetFailure as F;
    let check = |status: u16, message: &str, is_health: bool, expect: Option<F>| {
        assert_eq!(v2().special_status(status, Some(message), is_health), expect, "{status} {message}");
    };
    check(501, "UNIMPLEMENTED", false, Some(F::ProtocolViolation));
    check(503, "UNAVAILABLE: Request for unknown model: 'm' is not ready", false, Some(F::NotReady));
    check(503, "UNAVAILABLE", true, Some(F::NotReady));
    check(503, "UNAVAILABLE", false, None);
    check(500, "UNKNOWN: Unexpected <class 'mlserver.errors.ModelNotFound'>: Model nope", true, Some(F::ModelNotFound));
    check(500, "UNKNOWN: Unexpected <class 'ValueError'>", true, None);
    check(404, "NOT_FOUND", false, None);
    let restricted = "UNAVAILABLE: This protocol is restricted, expecting header 'triton-grpc-protocol-key'";
    check(503, restricted, true, Some(F::Forbidden));
    assert_eq!(wanted_header(restricted), Some("triton-grpc-protocol-key"));
    assert_eq!(wanted_header("is restricted, expecting header ''"), None);
}

#[test]
fn a_table_becomes_lists_of_the_models_types() {
    let numbers = table(&["a", "b"], vec![vec![number(1.0), number(2.5)], vec![number(3.0), Cell::Missing]]);
    let request = sent(&numbers, &[input("x", "FP64", &[-1, 2])]).unwrap();
    let contents = request.inputs[0].contents.as_ref().unwrap();
    assert_eq!((request.inputs[0].shape.as_slice(), request.model_name.as_str()), (&[2, 2][..], "bc"));
    assert_eq!(contents.fp64_contents[..3], [1.0, 2.5, 3.0]);
    assert!(contents.fp64_contents[3].is_nan() && request.raw_input_contents.is_empty());

    let mixed = table(&["age", "sex", "old"], vec![vec![number(31.0), Cell::Text("f".into()), number(1.0)]]);
    let inputs = [input("sex", "BYTES", &[-1, 1]), input("old", "BOOL", &[-1]), input("age", "UINT8", &[-1, 1])];
    let request = sent(&mixed, &inputs).unwrap();
    let contents = |index: usize| request.inputs[index].contents.clone().unwrap();
    assert_eq!(contents(0).bytes_contents, [Bytes::from_static(b"f")]);
    assert_eq!((contents(1).bool_contents, contents(2).uint_contents), (vec![true], vec![31]));
    assert_eq!((request.inputs[0].shape.as_slice(), request.inputs[1].shape.as_slice()), (&[1, 1][..], &[1][..]));
}

#[test]
fn types_without_a_list_are_sent_as_bytes() {
    let table = table(&["a", "b"], vec![vec![number(1.0), number(-2.0)]]);
    let inputs = [input("a", "FP16", &[-1, 1]), input("b", "FP32", &[-1, 1])];
    let request = sent(&table, &inputs).unwrap();
    assert_eq!(request.raw_input_contents, [&b"\x00\x3c"[..], &b"\x00\x00\x00\xc0"[..]]);
    assert!(request.inputs.iter().all(|input| input.contents.is_none()), "one way for all of them");
    let request = sent(&table, &[input("x", "BF16", &[-1, 2])]).unwrap();
    assert_eq!(request.raw_input_contents, [&b"\x80\x3f\x00\xc0"[..]]);
}

#[test]
fn what_a_type_does_not_hold_is_refused_by_name() {
    let check = |cell: Cell, datatype: &str, expect: &str| {
        let error = sent(&table(&["a"], vec![vec![cell]]), &[input("x", datatype, &[-1, 1])]).unwrap_err();
        assert!(error.contains("column `a`") || error.contains("input `x`"), "{error}");
        assert!(error.contains(expect), "{error}");
    };
    check(number(300.0), "INT8", "the number 300");
    check(number(-1.0), "UINT64", "the number -1");
    check(number(0.5), "INT32", "the number 0.5");
    check(Cell::Missing, "BYTES", "a missing value");
    check(Cell::Text("x".into()), "FP32", "the text `x`");
    check(number(1.0), "COMPLEX", "does not know");
}

#[test]
fn a_large_table_is_sent_in_several_messages() {
    let rows = |count: usize| table(&["a", "b"], vec![vec![number(1.0), Cell::Text("x".repeat(90))]; count]);
    assert_eq!(v2().rows_of_one_call(&rows(10)), Some(10));
    let many = v2().rows_of_one_call(&rows(100_000)).unwrap();
    assert!(many * 105 <= MOST_BYTES && many * 105 > MOST_BYTES / 2, "{many}");
    assert_eq!(v2().rows_of_one_call(&Table::default()), Some(1));
}

/// An output named `y` of one row.
fn answer(datatype: &str, shape: &[i64], contents: Option<InferTensorContents>, raw: Option<&[u8]>) -> Vec<u8> {
    let output = InferTensor { name: "y".into(), datatype: datatype.into(), shape: shape.to_vec(), contents };
    let raw_output_contents = raw.map(Bytes::copy_from_slice).into_iter().collect();
    ModelInferResponse { outputs: vec![output], raw_output_contents, ..ModelInferResponse::default() }.encode_to_vec()
}

#[test]
fn bytes_are_read_by_their_type() {
    let check = |datatype: &str, raw: &[u8], expect: &[f64]| {
        let body = answer(datatype, &[1, expect.len() as i64], None, Some(raw));
        let expect: Vec<Cell> = expect.iter().copied().map(number).collect();
        assert_eq!(v2().read_prediction(&body, 1).unwrap().rows, [expect], "{datatype}");
    };
    check("BOOL", &[0, 1], &[0.0, 1.0]);
    check("INT8", &[0xff], &[-1.0]);
    check("INT16", &[0xfe, 0xff], &[-2.0]);
    check("INT32", &[0, 1, 0, 0], &[256.0]);
    check("INT64", &[1, 0, 0, 0, 0, 0, 0, 0x80], &[-9_223_372_036_854_775_807.0]);
    check("UINT8", &[0xff, 2], &[255.0, 2.0]);
    check("UINT16", &[1, 1], &[257.0]);
    check("UINT32", &[0xff; 4], &[4_294_967_295.0]);
    check("UINT64", &[0xff; 8], &[18_446_744_073_709_551_615.0]);
    check("FP16", &[0x00, 0x3c, 0x00, 0xc0], &[1.0, -2.0]);
    check("BF16", &[0x80, 0x3f], &[1.0]);
    check("FP32", &0.1_f32.to_le_bytes(), &[f64::from(0.1_f32)]);
    check("FP64", &0.1_f64.to_le_bytes(), &[0.1]);
    let body = answer("BYTES", &[1, 2], None, Some(b"\x02\0\0\0yes\0\0\0"));
    assert!(v2().read_prediction(&body, 1).is_err(), "the second length is cut off");
    let body = answer("BYTES", &[1, 2], None, Some(b"\x03\0\0\0yes\0\0\0\0"));
    let rows = v2().read_prediction(&body, 1).unwrap().rows;
    assert_eq!(rows, [[Cell::Text("yes".into()), Cell::Text(String::new())]]);
    let body = answer("FP64", &[1, 1], None, Some(&f64::NAN.to_le_bytes()));
    assert_eq!(v2().read_prediction(&body, 1).unwrap().rows, [[Cell::Missing]], "as over REST");
}

#[test]
fn answers_of_another_form_have_a_reason() {
    let check = |body: &[u8], expect: TargetFailure| {
        let failure = v2().read_prediction(body, 1).unwrap_err();
        assert_eq!(failure.outcome, Outcome::TargetFailed(expect), "{failure:?}");
    };
    let floats = |values: &[f32]| Some(InferTensorContents { fp32_contents: values.to_vec(), ..Default::default() });
    check(b"", TargetFailure::ProtocolViolation);
    check(b"\xff\xff", TargetFailure::BodyMalformed);
    check(&TRITON_INFER[..30], TargetFailure::BodyMalformed);
    check(&answer("FP32", &[1, 2], floats(&[1.0]), None), TargetFailure::WrongShape);
    check(&answer("FP32", &[2], floats(&[1.0, 2.0]), None), TargetFailure::WrongShape);
    check(&answer("FP64", &[1], floats(&[1.0]), None), TargetFailure::WrongDtype);
    check(&answer("FP32", &[1], None, Some(b"abc")), TargetFailure::WrongDtype);
    check(&answer("FP128", &[1], None, Some(b"abcd")), TargetFailure::ProtocolViolation);
    check(&answer("FP32", &[1], None, None), TargetFailure::WrongShape);
    check(&answer("BOOL", &[1], None, Some(&vec![0; 3_000_000])), TargetFailure::ResponseTooLarge);
}

proptest! {
    /// Bytes of any type and length give values or a reason.
    #[test]
    fn any_bytes_never_panic(
        raw in proptest::collection::vec(any::<u8>(), 0..200),
        datatype in proptest::sample::select(vec!["BOOL", "INT16", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES", ""]),
        shape in proptest::collection::vec(any::<i64>(), 0..4),
        rows in 0_usize..5,
    ) {
        let _ = v2().read_prediction(&answer(datatype, &shape, None, Some(&raw)), rows);
        let _ = v2().read_prediction(&raw, rows);
        let _ = (v2().read_metadata(&raw), read_index(&raw), read_server_metadata(&raw), says_ready(&raw));
    }

    /// What is sent as bytes reads the same as what is sent in lists.
    #[test]
    fn both_ways_hold_the_same_values(values in proptest::collection::vec(-120_i64..120, 1..20)) {
        for datatype in ["INT8", "INT16", "INT32", "INT64", "FP32", "FP64"] {
            let kind = Kind::of(datatype).unwrap();
            let (mut contents, mut raw) = (InferTensorContents::default(), BytesMut::new());
            for value in &values {
                let value = match kind {
                    Kind::Fp32 | Kind::Fp64 => super::super::tensors::Value::Number(*value as f64),
                    _ => super::super::tensors::Value::Integer(*value),
                };
                kind.add(&mut contents, &value).unwrap();
                kind.put(&mut raw, &value).unwrap();
            }
            let shape = [1, values.len() as i64];
            let listed = v2().read_prediction(&answer(datatype, &shape, Some(contents), None), 1).unwrap();
            let from_raw = v2().read_prediction(&answer(datatype, &shape, None, Some(&raw)), 1).unwrap();
            let expect: Vec<Cell> = values.iter().map(|value| number(*value as f64)).collect();
            prop_assert_eq!(&listed.rows, &from_raw.rows);
            prop_assert_eq!(listed.rows, [expect]);
        }
    }
}
