//! Where a server's page of metrics probably is.

use url::Url;

use crate::protocol::below;

/// The most addresses to try.
const MOST: usize = 4;

/// Addresses to try, the likeliest first; at most four. `server` is what detection called the server.
///
/// `MLServer` (8080, 8081, 8082), Triton (8000, 8001, 8002) and `TorchServe` (8080, 8081, 8082) all put their metrics two
/// ports above their HTTP port, and the first two one above their port of gRPC, unless told otherwise; the others serve
/// `/metrics` beside their API.
pub fn candidates(base: &Url, server: Option<&str>) -> Vec<Url> {
    let name = server.unwrap_or_default().to_ascii_lowercase();
    let has_port_of_its_own =
        |name: &str| ["mlserver", "triton", "torchserve"].iter().any(|known| name.contains(known));
    let mut root = base.clone();
    root.set_path("/");
    root.set_query(None);
    root.set_fragment(None);
    let on_port = |port: u16| {
        let mut url = root.clone();
        url.set_port(Some(port)).ok()?;
        Some(below(&url, &["metrics"]))
    };
    // Behind a gateway only its own port is to be reached, and that of https is no server's own.
    let above = |distance| base.port().and_then(|port| port.checked_add(distance)).and_then(on_port);
    let usual = if name.contains("triton") { 8_002 } else { 8_082 };
    let mut beside = base.clone();
    beside.set_query(None);
    let beside = [below(&beside, &["metrics"]), below(&root, &["metrics"])];
    let mut urls: Vec<Url> = Vec::new();
    if has_port_of_its_own(&name) {
        urls.extend([above(2), above(1), on_port(usual)].into_iter().flatten());
        urls.extend(beside);
    } else {
        urls.extend(beside);
        if server.is_none_or(|name| name == "unknown") {
            urls.extend(above(2));
        }
    }
    let mut seen = std::collections::HashSet::new();
    urls.retain(|url| seen.insert(url.clone()));
    urls.truncate(MOST);
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_address_comes_first() {
        let check = |base: &str, server: Option<&str>, expect: &[&str]| {
            let found = candidates(&base.parse().unwrap(), server);
            assert_eq!(found.iter().map(Url::as_str).collect::<Vec<_>>(), expect, "{base} {server:?}");
        };
        check(
            "http://h:8085/",
            Some("mlserver"),
            &["http://h:8087/metrics", "http://h:8086/metrics", "http://h:8082/metrics", "http://h:8085/metrics"],
        );
        let of_triton = ["http://h:8002/metrics", "http://h:8001/metrics", "http://h:8000/metrics"];
        check("http://h:8000/", Some("triton"), &of_triton);
        let by_grpc = ["http://h:8003/metrics", "http://h:8002/metrics", "http://h:8001/metrics"];
        check("http://h:8001/", Some("triton"), &by_grpc);
        check("http://h:8500/", Some("vllm"), &["http://h:8500/metrics"]);
        check(
            "https://models.example/team/a?k=1#f",
            Some("kserve"),
            &["https://models.example/team/a/metrics", "https://models.example/metrics"],
        );
        check("http://h:65535/", None, &["http://h:65535/metrics"]);
        check("http://[::1]:9000/", None, &["http://[::1]:9000/metrics", "http://[::1]:9002/metrics"]);
    }
}
