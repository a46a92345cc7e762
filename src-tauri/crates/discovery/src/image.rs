//! The name of a container image, in its parts.
//!
//! Source: the grammar of references in `github.com/distribution/reference`: `[host[:port]/]path[:tag][@digest]`.

/// An image's name in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    /// Registry and path without tag and digest: `nvcr.io/nvidia/tritonserver`.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest: `sha256:…`.
    pub digest: Option<String>,
}

impl ImageName {
    /// Takes a name apart. Any text has parts; an image's bare id has neither a tag nor a path that says anything.
    pub fn parse(text: &str) -> Self {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let after_slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match rest[after_slash..].find(':') {
            Some(at) => (&rest[..after_slash + at], Some(rest[after_slash + at + 1..].to_owned())),
            None => (rest, None),
        };
        Self { repository: repository.to_owned(), tag: tag.filter(|tag| !tag.is_empty()), digest }
    }

    /// The path without the registry: `nvidia/tritonserver`.
    pub fn path(&self) -> &str {
        match self.repository.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => rest,
            _ => &self.repository,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let check = |text: &str, path: &str, tag: Option<&str>, digest: Option<&str>| {
            let name = ImageName::parse(text);
            assert_eq!((name.path(), name.tag.as_deref(), name.digest.as_deref()), (path, tag, digest), "{text}");
        };
        check("ollama/ollama", "ollama/ollama", None, None);
        check("ollama/ollama:0.12.3", "ollama/ollama", Some("0.12.3"), None);
        check("nvcr.io/nvidia/tritonserver:24.05-py3", "nvidia/tritonserver", Some("24.05-py3"), None);
        check("localhost:5000/mlserver", "mlserver", None, None);
        check("localhost:5000/mlserver:1.7.1", "mlserver", Some("1.7.1"), None);
        check("a/b@sha256:12", "a/b", None, Some("sha256:12"));
        check("a/b:1@sha256:12", "a/b", Some("1"), Some("sha256:12"));
        check("sha256:0f1e", "sha256", Some("0f1e"), None);
        check("", "", None, None);
        check(":", "", None, None);
        check("é/ü:ß", "é/ü", Some("ß"), None);
    }
}
