//! Reads the text format of OpenMetrics 1.0 as strictly as it is written.

use std::collections::{BTreeMap, BTreeSet};

/// All that was told.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    pub(super) families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    unit: Option<String>,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Exposition {
    /// # Panics
    /// If it is not what it should be.
    pub(super) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with EOF");
        let (mut all, mut name) = (Self::default(), String::new());
        for line in body.lines() {
            assert!(!line.is_empty() && line.trim() == line, "{line:?}");
            if let Some(line) = line.strip_prefix("# HELP ") {
                let (of, help) = line.split_once(' ').expect("a help");
                assert!(help.ends_with('.') && !help.ends_with(".."), "{line}");
                let before = all.families.insert(of.to_owned(), Family::default());
                assert!(before.is_none(), "{of} is there twice");
                name = of.to_owned();
            } else if let Some(line) = line.strip_prefix("# TYPE ") {
                let (of, kind) = line.split_once(' ').expect("a type");
                assert_eq!(of, name, "the help is before the type");
                let family = all.families.get_mut(of).expect("it has a help");
                assert_eq!(std::mem::replace(&mut family.kind, kind.into()), "", "{of}");
            } else if let Some(line) = line.strip_prefix("# UNIT ") {
                let (of, unit) = line.split_once(' ').expect("a unit");
                assert!(of == name && of.ends_with(&format!("_{unit}")), "{line}");
                let family = all.families.get_mut(of).expect("it has a help");
                family.unit = Some(unit.to_owned());
            } else {
                let sample = Sample::parse(line);
                let family = all.families.get_mut(&name).expect("it has a help");
                family.check_name(&name, &sample);
                family.samples.push(sample);
            }
        }
        for (name, family) in &all.families {
            family.check(name);
        }
        all
    }

    /// The value of the one sample of this name and these labels, 0 if there is none.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: BTreeMap<_, _> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let samples = self.families.values().flat_map(|family| &family.samples);
        let mut found = samples.filter(|it| it.name == name && it.labels == labels);
        let value = found.next().map_or(0.0, |sample| sample.value);
        assert_eq!(found.next(), None, "{name} is there twice");
        value
    }
}

impl Family {
    fn check_name(&self, name: &str, sample: &Sample) {
        let suffix = sample
            .name
            .strip_prefix(name)
            .expect("samples follow their type");
        let allowed: &[_] = match self.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("{name} is {other:?}"),
        };
        assert!(allowed.contains(&suffix), "{} of {name}", sample.name);
        assert_eq!(suffix == "_bucket", sample.labels.contains_key("le"));
    }

    fn check(&self, name: &str) {
        assert!(name.starts_with("meshcast_") && is_name(name), "{name}");
        assert!(
            !name.ends_with("_total") && !name.ends_with("_info"),
            "{name}"
        );
        for unit in ["seconds", "bytes"] {
            let is_of = name.ends_with(&format!("_{unit}"));
            assert_eq!(is_of, self.unit.as_deref() == Some(unit), "{name}");
        }
        let mut seen = BTreeSet::new();
        for Sample {
            name,
            labels,
            value,
        } in &self.samples
        {
            assert!(
                seen.insert((name, labels)),
                "{name} {labels:?} is there twice"
            );
            assert!(value.is_finite(), "{name} {labels:?}");
            assert!(self.kind == "gauge" || *value >= 0.0, "{name} {labels:?}");
        }
        if self.kind == "histogram" {
            self.check_buckets(name);
        }
    }

    fn check_buckets(&self, name: &str) {
        let mut series = BTreeMap::<_, Vec<_>>::new();
        for sample in &self.samples {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le");
            series.entry(labels).or_default().push((sample, bound));
        }
        for (labels, samples) in series {
            let of = |suffix: &str| {
                let name = format!("{name}{suffix}");
                let mut found = samples.iter().filter(|(sample, _)| sample.name == name);
                let value = found.next().expect("one").0.value;
                assert!(found.next().is_none(), "{name} {labels:?}");
                value
            };
            let buckets: Vec<_> = samples
                .iter()
                .filter_map(|(sample, bound)| {
                    let bound = bound.as_ref()?.replace("+Inf", "inf");
                    Some((bound.parse::<f64>().expect("a bound"), sample.value))
                })
                .collect();
            assert!(
                buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
                "{buckets:?}"
            );
            let (bound, all) = buckets.last().expect("some");
            assert_eq!((*bound, *all), (f64::INFINITY, of("_count")));
            assert!(of("_sum") >= 0.0);
        }
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = match line.rfind('}') {
            Some(end) => line.split_at(end + 1),
            None => line.split_once(' ').expect("a value"),
        };
        let value = value.trim_start_matches(' ');
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("the end")),
            None => (series, ""),
        };
        assert!(is_name(name), "{line}");
        // The characters of regions and names need no escapes.
        let labels = labels.split_terminator(',').map(|label| {
            let (key, value) = label.split_once('=').expect("a label");
            let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
            let value = value.expect("quoted");
            assert!(is_name(key) && !value.contains(['"', '\\', '\n']), "{line}");
            (key.to_owned(), value.to_owned())
        });
        let labels: Vec<_> = labels.collect();
        let count = labels.len();
        let labels: BTreeMap<_, _> = labels.into_iter().collect();
        assert_eq!(labels.len(), count, "{line}");
        let name = name.to_owned();
        Self {
            name,
            labels,
            value,
        }
    }
}

fn is_name(text: &str) -> bool {
    let all = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(all)
}
