//! What real servers answered, in a form that the rules' tests replay.
//!
//! The bodies are those of the servers named in `rules`, shortened where length says nothing; `TensorFlow` Serving and
//! Ollama are from their documentation.

use crate::detect::finding::Role;

/// One answer of a capture: path, status, headers, body.
pub(super) type Line = (&'static str, u16, &'static [(&'static str, &'static str)], &'static str);

pub(super) const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
pub(super) const UVICORN: &[(&str, &str)] = &[("content-type", "application/json"), ("server", "uvicorn")];
pub(super) const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];
pub(super) const PAGE: &[(&str, &str)] = &[("content-type", "text/html; charset=utf-8")];
pub(super) const LLAMA: &[(&str, &str)] =
    &[("content-type", "application/json; charset=utf-8"), ("server", "llama.cpp")];

/// A server: its word, its protocol, where it was asked, what it answers to any other path, and its answers.
pub(super) struct Capture {
    pub(super) server: &'static str,
    pub(super) protocol: Option<&'static str>,
    pub(super) role: Role,
    pub(super) url: &'static str,
    pub(super) other: (u16, &'static [(&'static str, &'static str)], &'static str),
    pub(super) lines: &'static [Line],
}

pub(super) const NOT_FOUND: (u16, &[(&str, &str)], &str) = (404, UVICORN, r#"{"detail":"Not Found"}"#);
pub(super) const TORCHSERVE_404: &str = r#"{"code":404,"type":"ResourceNotFoundException","message":"Requested resource is not found, please refer to API document."}"#;
pub(super) const TORCHSERVE_405: &str = r#"{"code":405,"type":"MethodNotAllowedException","message":"Requested method is not allowed, please refer to API document."}"#;
pub(super) const TORCHSERVE_KEY: &str = r#"{"code":400,"type":"InvalidKeyException","message":"Token Authorization failed. Token either incorrect, expired, or not provided correctly"}"#;
pub(super) const FASTAPI: &str = r##"{"openapi":"3.1.0","info":{"title":"bc","version":"1"},"paths":{"/health":{"get":{}},"/predict":{"post":{"summary":"Predict","operationId":"predict_predict_post","requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Req"}}},"required":true},"responses":{"200":{"content":{"application/json":{"schema":{}}}},"422":{}}}}},"components":{"schemas":{"Req":{"properties":{"instances":{"items":{"items":{"type":"number"},"type":"array"},"type":"array"}},"type":"object","required":["instances"]},"HTTPValidationError":{}}}}"##;

pub(super) const CAPTURES: &[Capture] = &[
    Capture {
        server: "mlserver",
        protocol: Some("v2"),
        role: Role::Model,
        url: "http://h:8085/v2/models/bc/infer",
        other: NOT_FOUND,
        lines: &[
            ("/v2", 200, UVICORN, r#"{"name":"mlserver","version":"1.7.1","extensions":[]}"#),
            (
                "/v2/repository/index",
                200,
                UVICORN,
                r#"[{"name":"bc","version":"2","state":"READY","reason":""},{"name":"bc","version":"1","state":"READY","reason":""}]"#,
            ),
            ("/v2/models/bc/ready", 200, UVICORN, ""),
        ],
    },
    Capture {
        server: "triton",
        protocol: Some("v2"),
        role: Role::Model,
        url: "http://h:8300",
        other: (404, TEXT, r#"{"error":"Not Found"}"#),
        lines: &[
            (
                "/v2",
                200,
                JSON,
                r#"{"name":"triton","version":"2.51.0","extensions":["classification","sequence","model_repository"]}"#,
            ),
            (
                "/v2/repository/index",
                200,
                JSON,
                r#"[{"name":"bc","version":"1","state":"UNAVAILABLE","reason":"unloaded"},{"name":"bc","version":"2","state":"READY"}]"#,
            ),
            ("/v2/models/bc/ready", 200, TEXT, ""),
        ],
    },
    Capture {
        server: "kserve",
        protocol: Some("v2"),
        role: Role::Model,
        url: "http://h:8090",
        other: NOT_FOUND,
        lines: &[
            (
                "/v2",
                200,
                UVICORN,
                r#"{"name":"kserve","version":"0.21.0","extensions":["model_repository_extension"]}"#,
            ),
            ("/", 200, UVICORN, r#"{"status":"alive"}"#),
            ("/v1/models", 200, UVICORN, r#"{"models":["bc"]}"#),
            ("/v2/models/bc/ready", 200, UVICORN, r#"{"name":"bc","ready":true}"#),
            (
                "/openapi.json",
                200,
                UVICORN,
                r#"{"openapi":"3.1.0","info":{"title":"KServe ModelServer","version":"0.21.0"},"paths":{"/v1/models/{model_name}:predict":{"post":{}},"/v2/models/{model_name}/infer":{"post":{}}}}"#,
            ),
        ],
    },
    Capture {
        server: "tensorflow-serving",
        protocol: Some("v1"),
        role: Role::Model,
        url: "http://h:8501/v1/models/half_plus_two:predict",
        other: (400, JSON, r#"{ "error": "Malformed request: GET /v2" }"#),
        lines: &[(
            "/v1/models/half_plus_two",
            200,
            JSON,
            r#"{"model_version_status":[{"version":"123","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}}]}"#,
        )],
    },
    Capture {
        server: "mlflow",
        protocol: Some("mlflow"),
        role: Role::Model,
        url: "http://h:5001/invocations",
        other: NOT_FOUND,
        lines: &[
            ("/ping", 200, UVICORN, "\n"),
            ("/health", 200, UVICORN, "\n"),
            ("/version", 200, UVICORN, "3.17.2"),
            (
                "/openapi.json",
                200,
                UVICORN,
                r#"{"openapi":"3.1.0","info":{"title":"FastAPI","version":"0.1.0"},"paths":{"/ping":{"get":{}},"/version":{"get":{}},"/invocations":{"post":{"responses":{"200":{"content":{"application/json":{"schema":{}}}}}}}}}"#,
            ),
        ],
    },
    Capture {
        server: "mlflow",
        protocol: None,
        role: Role::ControlPlane,
        url: "http://h:5000",
        other: (404, PAGE, "<!doctype html><title>404 Not Found</title>"),
        lines: &[
            ("/health", 200, TEXT, "OK"),
            ("/version", 200, PAGE, "3.17.2"),
            ("/", 200, PAGE, "<!doctype html><html lang=\"en\"><head><title>MLflow</title>"),
        ],
    },
    Capture {
        server: "mlflow",
        protocol: None,
        role: Role::ControlPlane,
        url: "http://h:5002",
        other: (
            401,
            &[("www-authenticate", "Basic realm=\"mlflow\""), ("server", "uvicorn")],
            "You are not authenticated.",
        ),
        lines: &[("/health", 200, TEXT, "OK")],
    },
    Capture {
        server: "torchserve",
        protocol: Some("torchserve"),
        role: Role::Model,
        url: "http://h:8080/predictions/m",
        other: (404, JSON, TORCHSERVE_404),
        lines: &[
            ("/ping", 200, JSON, "{\n  \"status\": \"Healthy\"\n}\n"),
            ("/", 405, JSON, TORCHSERVE_405),
            (
                "OPTIONS /",
                200,
                JSON,
                r#"{"openapi":"3.0.1","info":{"title":"TorchServe APIs","version":"0.12.0"},"paths":{"/predictions/{model_name}":{"post":{}}}}"#,
            ),
            ("8081/models", 200, JSON, r#"{"models":[{"modelName":"m","modelUrl":"m_1.0.mar"}]}"#),
            (
                "8081/models/m/all",
                200,
                JSON,
                r#"[{"modelName":"m","modelVersion":"1.0","workers":[{"id":"9000","status":"READY"}]},{"modelName":"m","modelVersion":"2.0","workers":[]}]"#,
            ),
        ],
    },
    Capture {
        server: "torchserve",
        protocol: Some("torchserve"),
        role: Role::Model,
        url: "http://h:8081",
        other: (404, JSON, TORCHSERVE_404),
        lines: &[
            ("/", 405, JSON, TORCHSERVE_405),
            ("/models", 200, JSON, r#"{"models":[{"modelName":"m","modelUrl":"m_1.0.mar"}]}"#),
            ("/models/m/all", 200, JSON, r#"[{"modelName":"m","modelVersion":"1.0","workers":[]}]"#),
        ],
    },
    Capture {
        server: "torchserve",
        protocol: Some("torchserve"),
        role: Role::Model,
        url: "http://h:8080",
        other: (400, JSON, TORCHSERVE_KEY),
        lines: &[],
    },
    Capture {
        server: "bentoml",
        protocol: Some("json"),
        role: Role::Model,
        url: "http://h:3010",
        other: (404, TEXT, "Not Found"),
        lines: &[
            (
                "/",
                200,
                PAGE,
                "<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <meta charset=\"UTF-8\">\n    <title>BentoML Prediction Service</title>",
            ),
            (
                "/schema.json",
                200,
                JSON,
                r#"{"name":"BC","type":"service","routes":[{"name":"predict","route":"/predict","batchable":false}]}"#,
            ),
            (
                "/docs.json",
                200,
                JSON,
                r##"{"openapi":"3.0.2","info":{"title":"BC","version":"v2","description":"# BC:v2\n[![pypi_status](https://img.shields.io/badge/BentoML-1.4.39-informational)]"},"paths":{"/healthz":{"get":{}},"/predict":{"post":{"requestBody":{"content":{"application/json":{"schema":{"properties":{"instances":{"items":{"items":{"type":"number"},"type":"array"},"type":"array"}},"type":"object","required":["instances"]}}}},"responses":{"200":{"content":{"application/json":{"schema":{"items":{"type":"integer"},"type":"array"}}}}}}}}}"##,
            ),
        ],
    },
    Capture {
        server: "litserve",
        protocol: Some("json"),
        role: Role::Model,
        url: "http://h:8095/predict",
        other: NOT_FOUND,
        lines: &[
            ("/", 200, UVICORN, "litserve running"),
            ("/health", 200, UVICORN, "ok"),
            (
                "/info",
                200,
                UVICORN,
                r#"{"model":null,"server":{"devices":["cpu"],"workers_per_device":1,"timeout":30,"stream":{"/predict":false},"max_payload_size":null,"track_requests":false}}"#,
            ),
            (
                "/openapi.json",
                200,
                UVICORN,
                r#"{"openapi":"3.1.0","info":{"title":"FastAPI","version":"0.1.0"},"paths":{"/":{"get":{}},"/health":{"get":{}},"/info":{"get":{}},"/predict":{"post":{"responses":{"200":{"content":{"application/json":{"schema":{}}}}}}}}}"#,
            ),
        ],
    },
    Capture {
        server: "litserve",
        protocol: Some("json"),
        role: Role::Model,
        url: "http://h:8095",
        other: (401, UVICORN, r#"{"detail":"Not authenticated"}"#),
        lines: &[
            ("/v2", 404, UVICORN, r#"{"detail":"Not Found"}"#),
            (
                "/openapi.json",
                200,
                UVICORN,
                r#"{"openapi":"3.1.0","info":{"title":"FastAPI","version":"0.1.0"},"paths":{"/":{"get":{}},"/health":{"get":{}},"/info":{"get":{}},"/predict":{"post":{}}}}"#,
            ),
        ],
    },
    Capture {
        server: "ray-serve",
        protocol: Some("json"),
        role: Role::Model,
        url: "http://h:8200",
        other: (404, TEXT, "Path '/v2' not found. Ping http://.../-/routes for available routes."),
        lines: &[("/-/routes", 200, UVICORN, r#"{"/bc":"bc"}"#), ("/-/healthz", 200, TEXT, "success")],
    },
    Capture {
        server: "ray-dashboard",
        protocol: None,
        role: Role::ControlPlane,
        url: "http://h:8265",
        other: (
            404,
            &[("content-type", "text/plain; charset=utf-8"), ("server", "Python/3.11 aiohttp/3.14.5")],
            "404: Not Found",
        ),
        lines: &[
            (
                "/api/version",
                200,
                JSON,
                r#"{"version":"4","ray_version":"2.60.0","ray_commit":"b7f4","session_name":"s"}"#,
            ),
            (
                "/api/serve/applications/",
                200,
                JSON,
                r#"{"http_options":{"host":"127.0.0.1","port":8200},"applications":{"bc":{"name":"bc","route_prefix":"/bc","status":"RUNNING"}}}"#,
            ),
        ],
    },
    Capture {
        server: "fastapi",
        protocol: Some("json"),
        role: Role::Model,
        url: "http://h:8400",
        other: NOT_FOUND,
        lines: &[
            ("/health", 200, UVICORN, r#"{"status":"ok","version":"1"}"#),
            ("/openapi.json", 200, UVICORN, FASTAPI),
        ],
    },
    Capture {
        server: "vllm",
        protocol: Some("openai"),
        role: Role::Model,
        url: "http://h:8500/v1/chat/completions",
        other: NOT_FOUND,
        lines: &[
            ("/ping", 200, UVICORN, ""),
            ("/health", 200, UVICORN, ""),
            ("/version", 200, UVICORN, r#"{"version":"0.32.0"}"#),
            (
                "/v1/models",
                200,
                UVICORN,
                r#"{"object":"list","data":[{"id":"tiny","object":"model","created":1795333717,"owned_by":"vllm","root":"/models/tiny-v1","parent":null,"max_model_len":256}]}"#,
            ),
            (
                "/openapi.json",
                200,
                UVICORN,
                r#"{"openapi":"3.1.0","info":{"title":"FastAPI","version":"0.1.0"},"paths":{"/v1/chat/completions":{"post":{}},"/invocations":{"post":{}},"/ping":{"get":{}}}}"#,
            ),
        ],
    },
    Capture {
        server: "llama.cpp",
        protocol: Some("openai"),
        role: Role::Model,
        url: "http://h:8600",
        other: (404, LLAMA, r#"{"error":{"message":"File Not Found","type":"not_found_error","code":404}}"#),
        lines: &[
            ("/health", 200, LLAMA, r#"{"status":"ok"}"#),
            (
                "/v1/models",
                200,
                LLAMA,
                r#"{"models":[{"name":"tiny","model":"tiny"}],"object":"list","data":[{"id":"tiny","object":"model","owned_by":"llamacpp","meta":{"n_ctx":256}}]}"#,
            ),
        ],
    },
    Capture {
        server: "llama.cpp",
        protocol: Some("openai"),
        role: Role::Model,
        url: "http://h:8600",
        other: (401, LLAMA, r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#),
        lines: &[("/health", 200, LLAMA, r#"{"status":"ok"}"#)],
    },
    Capture {
        server: "llama.cpp",
        protocol: Some("openai"),
        role: Role::Model,
        url: "http://h:8610",
        other: (404, LLAMA, r#"{"error":{"message":"File Not Found","type":"not_found_error","code":404}}"#),
        lines: &[
            ("/health", 200, LLAMA, r#"{"status":"ok"}"#),
            (
                "/v1/models",
                200,
                LLAMA,
                r#"{"data":[{"id":"tiny-v1","object":"model","owned_by":"llamacpp","status":{"value":"loaded"}},{"id":"tiny-v2","object":"model","owned_by":"llamacpp","status":{"value":"unloaded"}}]}"#,
            ),
        ],
    },
    Capture {
        server: "transformers",
        protocol: Some("openai"),
        role: Role::Model,
        url: "http://h:8700",
        other: (
            404,
            &[("server", "uvicorn"), ("x-request-id", "1587"), ("content-type", "application/json")],
            r#"{"detail":"Not Found"}"#,
        ),
        lines: &[("/health", 200, UVICORN, r#"{"status":"ok"}"#), ("/v1/models", 500, TEXT, "Internal Server Error")],
    },
    // 5.23.0, pinned to a folder.
    Capture {
        server: "transformers",
        protocol: Some("openai"),
        role: Role::Model,
        url: "http://h:8700",
        other: (
            404,
            &[("server", "uvicorn"), ("x-request-id", "1587"), ("content-type", "application/json")],
            r#"{"detail":"Not Found"}"#,
        ),
        lines: &[
            ("/health", 200, UVICORN, r#"{"status":"ok"}"#),
            ("/v1/models", 200, UVICORN, r#"{"object":"list","data":[]}"#),
            (
                "/openapi.json",
                200,
                UVICORN,
                r#"{"openapi":"3.1.0","info":{"title":"FastAPI","version":"0.1.0"},"paths":{"/v1/chat/completions":{"post":{}},"/v1/completions":{"post":{}},"/v1/responses":{"post":{}},"/load_model":{"post":{}},"/reset":{"post":{}},"/v1/models":{"get":{},"options":{}},"/health":{"get":{}}}}"#,
            ),
        ],
    },
    Capture {
        server: "ollama",
        protocol: None,
        role: Role::Model,
        url: "http://h:11434",
        other: (404, TEXT, "404 page not found"),
        lines: &[
            ("/", 200, TEXT, "Ollama is running"),
            (
                "/v1/models",
                200,
                JSON,
                r#"{"object":"list","data":[{"id":"llama3.2:latest","object":"model","created":1,"owned_by":"library"}]}"#,
            ),
            (
                "/api/tags",
                200,
                JSON,
                r#"{"models":[{"name":"llama3.2:latest","model":"llama3.2:latest","digest":"a80c","size":2019393189}]}"#,
            ),
            ("/api/version", 200, JSON, r#"{"version":"0.5.1"}"#),
        ],
    },
    Capture {
        server: "kubernetes",
        protocol: None,
        role: Role::ControlPlane,
        url: "https://h:6443",
        other: (
            403,
            JSON,
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"forbidden: User \"system:anonymous\" cannot get path \"/api\"","reason":"Forbidden","details":{},"code":403}"#,
        ),
        lines: &[(
            "/version",
            200,
            JSON,
            r#"{"major":"1","minor":"20","gitVersion":"v1.20.2","goVersion":"go1.19.8","compiler":"gc","platform":"linux/amd64"}"#,
        )],
    },
    Capture {
        server: "prometheus",
        protocol: None,
        role: Role::Metrics,
        url: "http://h:9090",
        other: (404, TEXT, "404 page not found\n"),
        lines: &[
            (
                "/version",
                200,
                JSON,
                r#"{"version":"2.42.0+ds","revision":"2.42.0+ds-5+deb12u1","branch":"debian/sid","goVersion":"go1.19.8"}"#,
            ),
            (
                "/",
                200,
                PAGE,
                "<!doctype html><html lang=\"en\"><head><title>Prometheus Time Series Collection and Processing Server</title>",
            ),
            (
                "/api/v1/status/buildinfo",
                200,
                JSON,
                r#"{"status":"success","data":{"version":"2.42.0+ds","revision":"2.42.0+ds-5+deb12u1","goVersion":"go1.19.8"}}"#,
            ),
        ],
    },
    Capture {
        server: "s3",
        protocol: None,
        role: Role::Other,
        url: "http://h:5055",
        other: (
            200,
            &[("content-type", "application/xml"), ("server", "amazon.com")],
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Buckets/></ListAllMyBucketsResult>",
        ),
        lines: &[],
    },
    Capture {
        server: "image-registry",
        protocol: None,
        role: Role::Other,
        url: "http://h:5000",
        other: (404, TEXT, "404 page not found\n"),
        lines: &[(
            "/v2",
            200,
            &[("docker-distribution-api-version", "registry/2.0"), ("content-type", "application/json")],
            "{}",
        )],
    },
    Capture {
        server: "page",
        protocol: None,
        role: Role::Other,
        url: "http://h:80",
        other: (200, PAGE, "<!doctype html><html><title>App</title>"),
        lines: &[],
    },
    Capture {
        server: "metrics",
        protocol: None,
        role: Role::Metrics,
        url: "http://h:8002/metrics",
        other: (404, TEXT, "404 page not found\n"),
        lines: &[(
            "/metrics",
            200,
            TEXT,
            "# HELP nv_inference_request_success Number\n# TYPE nv_inference_request_success counter\nnv_inference_request_success{model=\"bc\"} 0\n",
        )],
    },
];
