//! Who may depend on what, over `cargo metadata`.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Violation;
use crate::process;
use crate::workspace::Workspace;

/// A package of the workspace with its direct dependencies.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    /// Its manifest, relative to the root.
    pub(super) manifest: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// A direct dependency.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// Only for tests, benchmarks and examples.
    pub(super) only_tests: bool,
}

const APP: &str = "pilothouse";
const TESTS: &str = "pilothouse-tests";
const TESTKIT: &str = "pilothouse-testkit";

/// What the rules say about a dependency: a name (or its start), who may have it, and why.
struct Rule {
    matches: fn(&str) -> bool,
    /// The packages that may depend on it outside tests.
    allowed: &'static [&'static str],
    /// Whether anyone's tests may use it.
    free_in_tests: bool,
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        matches: |name| name.starts_with("tauri") || name == "wry" || name == "tao",
        allowed: &[APP],
        free_in_tests: false,
        why: "only the root package knows tauri",
    },
    Rule {
        matches: |name| name == "rusqlite" || name == "libsqlite3-sys",
        allowed: &["pilothouse-store"],
        free_in_tests: false,
        why: "only `store` knows SQL",
    },
    Rule {
        matches: |name| {
            name.starts_with("keyring") || name.contains("keyring-store") || name.starts_with("secret-service")
        },
        allowed: &["pilothouse-secrets"],
        free_in_tests: false,
        why: "only `secrets` knows the keyring",
    },
    Rule {
        matches: |name| name == "reqwest",
        allowed: &[TESTS],
        free_in_tests: true,
        why: "client sockets are opened by `serving`'s transport alone",
    },
    Rule {
        matches: |name| name == "russh",
        allowed: &["pilothouse-serving"],
        free_in_tests: false,
        why: "only `serving`'s transport speaks SSH",
    },
    // Hyper is also a server: `demo` serves with it.
    Rule {
        matches: |name| matches!(name, "hyper" | "hyper-util" | "h2"),
        allowed: &["pilothouse-serving", "pilothouse-demo", TESTKIT, TESTS],
        free_in_tests: true,
        why: "client sockets are opened by `serving`'s transport alone",
    },
    Rule {
        matches: |name| matches!(name, "ureq" | "curl" | "isahc" | "attohttpc" | "surf"),
        allowed: &[],
        free_in_tests: false,
        why: "client sockets are opened by `serving`'s transport alone",
    },
    Rule {
        matches: |name| name == "kube" || name.starts_with("kube-"),
        allowed: &["pilothouse-cluster"],
        free_in_tests: false,
        why: "only `cluster` speaks to Kubernetes",
    },
    Rule {
        matches: |name| name == "bollard",
        allowed: &["pilothouse-discovery"],
        free_in_tests: true,
        why: "only `discovery` speaks to a Docker engine",
    },
    Rule {
        matches: |name| name == "axum",
        allowed: &["pilothouse-demo", TESTKIT, TESTS],
        free_in_tests: true,
        why: "only the demo fleet and the fake servers of tests listen",
    },
    Rule {
        matches: |name| name == "ts-rs",
        allowed: &["pilothouse-api"],
        free_in_tests: false,
        why: "domain types are not serialised to the UI: `api` has counterparts",
    },
    Rule {
        matches: |name| name == "plotters",
        allowed: &["pilothouse-charts"],
        free_in_tests: false,
        why: "only `charts` draws",
    },
    Rule {
        matches: |name| name == "pilothouse-control",
        allowed: &["pilothouse-engine", TESTS],
        free_in_tests: true,
        why: "a control plane is written to only by the engine's persisted rollback runs",
    },
    Rule { matches: |name| name == TESTKIT, allowed: &[TESTS], free_in_tests: true, why: "`testkit` is for tests" },
    Rule {
        matches: |name| name == "xtask",
        allowed: &[],
        free_in_tests: false,
        why: "nothing depends on the build commands",
    },
];

/// The crates that neither do input and output nor read a clock.
pub(super) const PURE: [&str; 5] =
    ["pilothouse-domain", "pilothouse-stats", "pilothouse-charts", "pilothouse-scrape", "pilothouse-config"];

const NOT_PURE: [&str; 8] =
    ["tokio", "reqwest", "rusqlite", "hyper", "async-trait", "tracing-appender", "directories", "socket2"];

/// What each of our crates may use of the others outside tests, from the bottom up. One direction: a crate not listed
/// here may use any but the app.
const LAYERS: &[(&str, &[&str])] = &[
    ("pilothouse-domain", &[]),
    ("pilothouse-stats", &["pilothouse-domain"]),
    ("pilothouse-explain", &["pilothouse-domain", "pilothouse-stats"]),
    ("pilothouse-scrape", &["pilothouse-domain"]),
    ("pilothouse-charts", &["pilothouse-domain", "pilothouse-stats", "pilothouse-explain"]),
    ("pilothouse-config", &["pilothouse-domain"]),
    ("pilothouse-secrets", &["pilothouse-domain"]),
    ("pilothouse-openapi", &[]),
    ("pilothouse-import", &["pilothouse-domain", "pilothouse-openapi"]),
    ("pilothouse-cluster", &[]),
    ("pilothouse-discovery", &["pilothouse-domain", "pilothouse-cluster"]),
    ("pilothouse-serving", &["pilothouse-domain", "pilothouse-cluster", "pilothouse-stats", "pilothouse-openapi"]),
    ("pilothouse-control", &["pilothouse-domain", "pilothouse-serving"]),
    ("pilothouse-store", &["pilothouse-domain", "pilothouse-stats", "pilothouse-scrape"]),
];

/// Every package that breaks a rule.
pub(super) fn check(packages: &[Package]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in packages {
        for dependency in &package.dependencies {
            let mut report = |why: &str| {
                let message = format!("`{}` depends on `{}`: {why}", package.name, dependency.name);
                violations.push(Violation::new(&package.manifest, 0, message));
            };
            for rule in RULES.iter().filter(|rule| (rule.matches)(&dependency.name)) {
                let free = rule.free_in_tests && dependency.only_tests;
                if !free && !rule.allowed.contains(&package.name.as_str()) {
                    report(rule.why);
                }
            }
            if dependency.only_tests {
                continue;
            }
            if PURE.contains(&package.name.as_str()) && NOT_PURE.contains(&dependency.name.as_str()) {
                report("it does no input or output and never reads the clock");
            }
            if let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == package.name)
                && is_ours(&dependency.name)
                && !below.contains(&dependency.name.as_str())
            {
                report("data flows one way, and this crate is not below it");
            }
            if dependency.name == APP {
                report("the app is the top");
            }
        }
    }
    violations
}

fn is_ours(name: &str) -> bool {
    name == APP || name.starts_with("pilothouse-")
}

/// Reads the workspace's packages.
pub(super) fn read(workspace: &Workspace) -> Result<Vec<Package>> {
    let mut command = workspace.cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let Some(text) = process::output(&mut command) else { bail!("`cargo metadata` failed") };
    parse(&text, &workspace.root.to_string_lossy())
}

fn parse(text: &str, root: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(text).context("cannot read what `cargo metadata` printed")?;
    let array = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let string = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let packages: Vec<Package> = array(&metadata, "packages")
        .iter()
        .map(|package| Package {
            name: string(package, "name"),
            manifest: string(package, "manifest_path")
                .trim_start_matches(root)
                .trim_start_matches(['/', '\\'])
                .to_owned(),
            dependencies: array(package, "dependencies")
                .iter()
                .map(|dependency| Dependency {
                    name: string(dependency, "name"),
                    only_tests: dependency["kind"].as_str() == Some("dev"),
                })
                .collect(),
        })
        .collect();
    if !packages.iter().any(|package| package.name == APP) {
        bail!("`cargo metadata` does not list the package `{APP}`");
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(package: &str, dependency: &str, only_tests: bool) -> usize {
        check(&[Package {
            name: package.to_owned(),
            manifest: "Cargo.toml".to_owned(),
            dependencies: vec![Dependency { name: dependency.to_owned(), only_tests }],
        }])
        .len()
    }

    #[test]
    fn each_rule_finds_its_violation_and_spares_the_rest() {
        for (package, dependency, only_tests, expected) in [
            ("pilothouse", "tauri", false, 0),
            ("pilothouse", "tauri-build", false, 0),
            ("pilothouse-api", "tauri", false, 1),
            ("pilothouse-engine", "tauri-plugin-dialog", true, 1),
            ("pilothouse-store", "rusqlite", false, 0),
            ("pilothouse-engine", "rusqlite", true, 1),
            ("pilothouse-secrets", "keyring", false, 0),
            ("pilothouse-secrets", "zbus-secret-service-keyring-store", false, 0),
            ("pilothouse", "keyring", false, 1),
            ("pilothouse-engine", "reqwest", false, 1),
            ("pilothouse-engine", "reqwest", true, 0),
            ("pilothouse-demo", "hyper", false, 0),
            ("pilothouse-api", "hyper", false, 1),
            ("pilothouse-engine", "axum", false, 1),
            ("pilothouse-domain", "ts-rs", false, 1),
            ("pilothouse-api", "ts-rs", false, 0),
            ("pilothouse-stats", "tokio", false, 1),
            ("pilothouse-stats", "tokio", true, 0),
            ("pilothouse-charts", "plotters", false, 0),
            ("pilothouse-engine", "pilothouse-testkit", false, 1),
            ("pilothouse-engine", "pilothouse-testkit", true, 0),
            ("pilothouse-store", "pilothouse-engine", false, 1),
            ("pilothouse-engine", "pilothouse-store", false, 0),
            ("pilothouse-cli", "pilothouse", false, 1),
            ("pilothouse-engine", "pilothouse-control", false, 0),
            ("pilothouse-cli", "pilothouse-control", false, 1),
        ] {
            assert_eq!(violations(package, dependency, only_tests), expected, "{package} on {dependency}");
        }
    }

    #[test]
    fn reads_cargo_metadata() {
        let text = r#"{"packages":[{"name":"pilothouse","manifest_path":"/r/Cargo.toml","dependencies":[
            {"name":"tauri","kind":null},{"name":"proptest","kind":"dev"}]}]}"#;
        let packages = parse(text, "/r").unwrap();
        assert_eq!(packages[0].manifest, "Cargo.toml");
        let kinds: Vec<bool> = packages[0].dependencies.iter().map(|dependency| dependency.only_tests).collect();
        assert_eq!(kinds, [false, true]);
        assert!(parse(r#"{"packages":[]}"#, "/r").is_err());
    }
}
