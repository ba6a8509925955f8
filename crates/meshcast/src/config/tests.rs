use std::{collections::BTreeMap, time::Duration};

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, EnvError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let mut config = Config::default();
    config.read_env(|name| variables.get(name).map(Into::into))?;
    Ok(config)
}

fn shown(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn addresses_are_taken_in_every_usual_form() {
    for (text, expected) in [
        ("192.0.2.1:4001", "/ip4/192.0.2.1/tcp/4001"),
        ("[2001:db8::1]:4001", "/ip6/2001:db8::1/tcp/4001"),
        ("0.0.0.0:0", "/ip4/0.0.0.0/tcp/0"),
        ("localhost:4001", "/dns/localhost/tcp/4001"),
        (
            "mesh.default.svc.cluster.local.:1",
            "/dns/mesh.default.svc.cluster.local./tcp/1",
        ),
        ("/dns4/a.example/tcp/4001", "/dns4/a.example/tcp/4001"),
    ] {
        let address: Address = text.parse().expect(text);
        assert_eq!(address.to_string(), expected);
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    for text in [
        "",
        "mesh",
        "mesh:",
        ":4001",
        "mesh:port",
        "mesh:70000",
        "mesh:-1",
        "192.0.2.1",
        "192.0.2:4001",
        "192.0.2.256:1",
        "2001:db8::1",
        "http://mesh:4001",
        "a b:1",
        "a..b:1",
        "/ip4/192.0.2/tcp/1",
        "mesh:4001:",
    ] {
        let error = text.parse::<Address>().expect_err(text);
        assert_eq!(error.text, text);
    }
}

#[test]
fn every_setting_can_be_made_by_the_environment() {
    let config = read(&[
        ("MESHCAST_NAME", "fra-1"),
        ("MESHCAST_REGION", "fra"),
        ("MESHCAST_KEY_FILE", "/run/secrets/mesh.key"),
        ("MESHCAST_LISTEN", "0.0.0.0:4001,[::]:4001"),
        (
            "MESHCAST_SEEDS",
            " a.example:4001  /dns/b.example/tcp/4001,",
        ),
        #[cfg(feature = "metrics")]
        ("MESHCAST_METRICS", "9464"),
        ("MESHCAST_DIAL_MEMBERS", "false"),
        ("MESHCAST_MAX_MESSAGE_BYTES", "2MiB"),
        ("MESHCAST_OUTBOX_BYTES", "65536"),
        ("MESHCAST_UNREAD_BYTES", "16 KiB"),
        ("MESHCAST_MAX_CHANNELS", "100"),
        ("MESHCAST_HISTORY_BYTES", "1GiB"),
        ("MESHCAST_MEMORY_BYTES", "128MiB"),
        ("MESHCAST_HISTORY_AGE", "1.5h"),
        ("MESHCAST_MAX_PEERS", "8"),
    ])
    .expect("all of them are fine");
    assert_eq!(config.name.as_deref(), Some("fra-1"));
    assert_eq!(config.region.as_deref(), Some("fra"));
    assert_eq!(config.key_file, Some("/run/secrets/mesh.key".into()));
    assert_eq!(
        shown(&config.listen),
        ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"]
    );
    assert_eq!(
        shown(&config.seeds),
        ["/dns/a.example/tcp/4001", "/dns/b.example/tcp/4001"]
    );
    assert!(!config.dial_members);
    let limits = &config.limits;
    assert_eq!(
        (limits.max_message_bytes, limits.outbox_bytes),
        (2 << 20, 65_536)
    );
    assert_eq!((limits.unread_bytes, limits.max_channels), (16 << 10, 100));
    assert_eq!(
        (limits.history_bytes, limits.memory_bytes),
        (1 << 30, 128 << 20)
    );
    assert_eq!(limits.history_age, Duration::from_secs(5400));
    assert_eq!(limits.max_peers, 8);
    // None that is written down somewhere is forgotten here, nor the other way round.
    let file = serde_json::to_value(&config).expect("it is written");
    let mut known: Vec<_> = Config::variables().map(|(_, path)| path).collect();
    let fields = |prefix: &str, json: &serde_json::Value| {
        let fields = json.as_object().expect("a table").keys();
        fields
            .map(|name| format!("{prefix}{name}"))
            .collect::<Vec<_>>()
    };
    let mut written = fields("", &file);
    written.retain(|name| name != "limits");
    written.extend(fields("limits.", &file["limits"]));
    known.sort();
    written.sort();
    assert_eq!(known, written);
}

#[test]
fn times_are_written_in_the_largest_unit_that_they_are_whole_in() {
    for (millis, text) in [
        (0, "0s"),
        (7_200_000, "2h"),
        (90_000, "90s"),
        (300_000, "5m"),
        (1_500, "1500ms"),
    ] {
        let limits = Limits {
            history_age: Duration::from_millis(millis),
            ..Limits::default()
        };
        let written = serde_json::to_value(limits).expect("it is written");
        assert_eq!(written["history_age"], text);
    }
}

#[test]
fn a_variable_that_cannot_be_used_is_named_with_the_reason() {
    for (variable, text, reason) in [
        ("MESHCAST_SEEDS", "a.example", "\"a.example\" is no address"),
        ("MESHCAST_DIAL_MEMBERS", "yes", "neither true nor false"),
        ("MESHCAST_HISTORY_BYTES", "1MB", "is no size"),
        ("MESHCAST_HISTORY_BYTES", "1.5MiB", "a whole number"),
        ("MESHCAST_HISTORY_BYTES", "99999999999GiB", "can count"),
        ("MESHCAST_HISTORY_AGE", "soon", "is no time"),
        ("MESHCAST_HISTORY_AGE", "1d", "is no time"),
        ("MESHCAST_HISTORY_AGE", "1e30h", "is no time"),
        ("MESHCAST_LOCAL", "1", "neither true nor false"),
        #[cfg(not(feature = "admin"))]
        ("MESHCAST_LOCAL", "true", "without the feature `admin`"),
        #[cfg(not(feature = "metrics"))]
        ("MESHCAST_METRICS", "9464", "without the feature `metrics`"),
        ("MESHCAST_MAX_PEERS", "-1", "no such number"),
    ] {
        let error = read(&[(variable, text)]).expect_err(text);
        assert_eq!(error.variable, variable);
        assert!(error.reason.to_string().contains(reason), "{error}");
    }
}

/// It is set, and what it says is not what a default would be.
#[cfg(unix)]
#[test]
fn a_variable_that_is_no_unicode_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let no_text = OsString::from_vec(b"fra\xff".to_vec());
    for (variable, _) in Config::variables().chain([(KEY, String::new())]) {
        let mut config = Config::default();
        let read = config.read_env(|name| (name == variable).then(|| no_text.clone()));
        let reason = InvalidValue::NotUnicode;
        assert_eq!(read, Err(EnvError { variable, reason }));
    }
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let config = read(&[("MESHCAST_SEEDS", ""), ("MESHCAST_MAX_PEERS", "")]).expect("nothing");
    assert!(config.seeds.is_empty());
    assert_eq!(config.limits.max_peers, Limits::default().max_peers);
}

#[test]
fn a_file_says_what_it_changes_and_nothing_else() {
    let config: Config = serde_json::from_str(
        r#"{"seeds": ["a.example:4001"], "limits": {"history_bytes": "1MiB", "history_age": 60}}"#,
    )
    .expect("it is read");
    assert_eq!(shown(&config.seeds), ["/dns/a.example/tcp/4001"]);
    assert_eq!(config.limits.history_bytes, 1 << 20);
    assert_eq!(config.limits.history_age, Duration::from_secs(60));
    assert_eq!(config.limits.max_peers, Limits::default().max_peers);
    assert!(config.dial_members);
    let again: Config =
        serde_json::from_value(serde_json::to_value(&config).expect("it is written"))
            .expect("it is read");
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
    for unknown in [
        r#"{"seed": []}"#,
        r#"{"key": "secret"}"#,
        r#"{"limits": {"peers": 1}}"#,
    ] {
        let error = serde_json::from_str::<Config>(unknown).expect_err(unknown);
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}
