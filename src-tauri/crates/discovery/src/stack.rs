//! Serving stacks by the names of their images: what is published under which name, and which ports its servers use.
//!
//! Source: each project's own documentation of its image, as of November 2026; the ports are the defaults of the image's
//! own command. A port that was changed by a person is not known here.

use pilothouse_domain::Protocol;

use crate::image::ImageName;

/// A serving stack's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    /// Its name for people.
    pub title: &'static str,
    /// Paths of its images without the registry; one that ends in `*` is the beginning of a path.
    pub images: &'static [&'static str],
    /// The words by which labels and service names call it.
    pub words: &'static [&'static str],
    /// The ports of its HTTP API, the usual one first.
    pub ports: &'static [u16],
    /// Ports that are not its HTTP API: gRPC, metrics, management, with what each is.
    pub other_ports: &'static [(u16, &'static str)],
    /// The protocol, where the stack speaks one only. Else the server is asked.
    pub protocol: Option<Protocol>,
}

/// Every stack that is known by its image.
pub const STACKS: &[Stack] = &[
    Stack {
        title: "MLServer",
        images: &["seldonio/mlserver*"],
        words: &["mlserver"],
        ports: &[8080, 9000],
        other_ports: &[(8081, "gRPC"), (8082, "metrics"), (9500, "gRPC")],
        protocol: Some(Protocol::OpenInference),
    },
    Stack {
        title: "NVIDIA Triton",
        images: &["nvidia/tritonserver*"],
        words: &["tritonserver", "triton"],
        ports: &[8000],
        other_ports: &[(8001, "gRPC"), (8002, "metrics")],
        protocol: Some(Protocol::OpenInference),
    },
    Stack {
        title: "TorchServe",
        images: &["pytorch/torchserve*"],
        words: &["torchserve"],
        ports: &[8080, 8085],
        other_ports: &[(8081, "management"), (8082, "metrics"), (7070, "gRPC"), (7071, "gRPC management")],
        protocol: Some(Protocol::TorchServe),
    },
    Stack {
        title: "TensorFlow Serving",
        images: &["tensorflow/serving*"],
        words: &["tensorflow-serving", "tf-serving", "tfserving"],
        ports: &[8501],
        other_ports: &[(8500, "gRPC")],
        protocol: Some(Protocol::PredictV1),
    },
    Stack {
        title: "vLLM",
        images: &["vllm/vllm-openai*", "vllm/vllm*", "vllm-cpu-release-repo"],
        words: &["vllm"],
        ports: &[8000],
        other_ports: &[],
        protocol: Some(Protocol::OpenAi),
    },
    Stack {
        title: "Ollama",
        images: &["ollama/ollama"],
        words: &["ollama"],
        ports: &[11434],
        other_ports: &[],
        protocol: Some(Protocol::Ollama),
    },
    Stack {
        title: "llama.cpp server",
        images: &["ggml-org/llama.cpp*", "ggerganov/llama.cpp*"],
        words: &["llama-cpp", "llamacpp", "llama.cpp"],
        ports: &[8080],
        other_ports: &[],
        protocol: Some(Protocol::OpenAi),
    },
    Stack {
        title: "SGLang",
        images: &["lmsysorg/sglang*"],
        words: &["sglang"],
        ports: &[30000],
        other_ports: &[],
        protocol: Some(Protocol::OpenAi),
    },
    Stack {
        title: "Text Generation Inference",
        images: &["huggingface/text-generation-inference*"],
        words: &["text-generation-inference", "tgi"],
        ports: &[80],
        other_ports: &[],
        protocol: Some(Protocol::OpenAi),
    },
    Stack {
        title: "LocalAI",
        images: &["localai/localai*", "go-skynet/local-ai*"],
        words: &["localai", "local-ai"],
        ports: &[8080],
        other_ports: &[],
        protocol: Some(Protocol::OpenAi),
    },
    Stack {
        title: "LiteLLM gateway",
        images: &["berriai/litellm*"],
        words: &["litellm"],
        ports: &[4000],
        other_ports: &[],
        protocol: Some(Protocol::OpenAi),
    },
    Stack {
        title: "KServe model server",
        images: &[
            "kserve/sklearnserver",
            "kserve/xgbserver",
            "kserve/lgbserver",
            "kserve/pmmlserver",
            "kserve/paddleserver",
            "kserve/huggingfaceserver*",
        ],
        words: &["kserve-sklearnserver", "kserve-xgbserver", "kserve-lgbserver", "kserve-huggingfaceserver"],
        ports: &[8080],
        other_ports: &[(8081, "gRPC")],
        protocol: None,
    },
    Stack {
        title: "OpenVINO Model Server",
        images: &["openvino/model_server*"],
        words: &["openvino-model-server", "ovms"],
        ports: &[8000, 8080],
        other_ports: &[(9000, "gRPC")],
        protocol: None,
    },
    Stack {
        title: "Ray",
        images: &["rayproject/ray*"],
        words: &["ray-serve", "rayservice"],
        ports: &[8000],
        other_ports: &[(6379, "cluster store"), (8265, "dashboard"), (10001, "client"), (8080, "metrics")],
        protocol: None,
    },
    Stack {
        title: "BentoML",
        images: &["bentoml/*"],
        words: &["bentoml", "yatai"],
        ports: &[3000],
        other_ports: &[(3001, "metrics")],
        protocol: None,
    },
    Stack {
        title: "LitServe",
        images: &["litserve*", "lightning-ai/litserve*"],
        words: &["litserve"],
        ports: &[8000],
        other_ports: &[],
        protocol: None,
    },
    // One image is both a tracking server and, with another command, a scoring server: the server is asked which.
    Stack {
        title: "MLflow",
        images: &["mlflow/mlflow*"],
        words: &["mlflow", "mlflow-pyfunc"],
        ports: &[8080, 5000],
        other_ports: &[],
        protocol: None,
    },
];

/// The stack whose image this is.
pub(crate) fn of_image(image: &ImageName) -> Option<&'static Stack> {
    let path = image.path().to_ascii_lowercase();
    // A mirror puts folders of its own before the path: `mirror.example/hub/ollama/ollama`.
    let matches = |pattern: &str| {
        let (start, open) = pattern.strip_suffix('*').map_or((pattern, false), |start| (start, true));
        let fits = |part: &str| if open { part.starts_with(start) } else { part == start };
        fits(&path) || path.match_indices('/').any(|(at, _)| fits(&path[at + 1..]))
    };
    STACKS.iter().find(|stack| stack.images.iter().any(|pattern| matches(pattern))).or_else(|| {
        // One's own build on top of a server is often named after it: `registry/team/churn-mlserver`.
        let last = path.rsplit('/').next().unwrap_or_default();
        of_word(last)
    })
}

/// The stack that a label's value or a name calls: the whole text, or one of its parts between dashes.
pub(crate) fn of_word(text: &str) -> Option<&'static Stack> {
    let text = text.to_ascii_lowercase();
    let holds = |word: &str| {
        text == word
            || text.match_indices(word).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                let after = text[at + word.len()..].chars().next();
                [before, after].into_iter().flatten().all(|c| !c.is_ascii_alphanumeric())
            })
    };
    STACKS.iter().find(|stack| stack.words.iter().any(|word| holds(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_recognised() {
        let check = |image: &str, expect: Option<&str>| {
            assert_eq!(of_image(&ImageName::parse(image)).map(|stack| stack.title), expect, "{image}");
        };
        check("seldonio/mlserver:1.7.1", Some("MLServer"));
        check("seldonio/mlserver:1.7.1-sklearn", Some("MLServer"));
        check("docker.io/ollama/ollama", Some("Ollama"));
        check("mirror.example:5000/hub/ollama/ollama:latest", Some("Ollama"));
        check("nvcr.io/nvidia/tritonserver:24.05-py3", Some("NVIDIA Triton"));
        check("vllm/vllm-openai:v0.11.0", Some("vLLM"));
        check("ghcr.io/ggml-org/llama.cpp:server", Some("llama.cpp server"));
        check("ghcr.io/huggingface/text-generation-inference:3.3", Some("Text Generation Inference"));
        check("kserve/sklearnserver:v0.15.0", Some("KServe model server"));
        check("ghcr.io/mlflow/mlflow:v3.1", Some("MLflow"));
        check("rayproject/ray-ml:2.9", Some("Ray"));
        check("registry/team/churn-mlserver:3", Some("MLServer"));
        check("tensorflow/tensorflow:2.19", None);
        check("postgres:16", None);
        check("team/rayon-builder", None);
        check("sha256:0f1e", None);
    }

    #[test]
    fn words_are_whole_words() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(of_word(text).map(|stack| stack.title), expect, "{text}");
        };
        check("triton", Some("NVIDIA Triton"));
        check("prod-vllm-0", Some("vLLM"));
        check("TorchServe", Some("TorchServe"));
        check("tritonic", None);
        check("", None);
    }
}
