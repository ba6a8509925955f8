//! A metric, and how it is written.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Unit,
};

use crate::{by_region::ByRegion, measured::Histogram, traffic::PassedBytes};

/// A metric with all its series.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    samples: Samples,
}

#[derive(Debug)]
pub(super) enum Samples {
    Info(Vec<(&'static str, String)>),
    Counters(Vec<(Labels, u64)>),
    Gauges(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, Histogram)>),
}

/// One label, or none.
pub(super) type Labels = Option<(&'static str, String)>;

fn region_label(region: &str) -> Labels {
    Some(("region", region.to_owned()))
}

pub(super) fn gauge(name: &'static str, help: &'static str, value: impl Into<f64>) -> Family {
    Family::new(name, help, Samples::Gauges(vec![(None, value.into())]))
}

pub(super) fn gauges(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, f64)>,
) -> Family {
    let values = values.into_iter();
    let samples = values.map(|(of, value)| (Some((label, of.to_owned())), value));
    Family::new(name, help, Samples::Gauges(samples.collect()))
}

pub(super) fn gauges_by_region(
    name: &'static str,
    help: &'static str,
    values: ByRegion<f64>,
) -> Family {
    let samples = values.iter();
    // A mean of nothing is no sample.
    let samples = samples.filter(|(_, value)| !value.is_nan());
    let samples = samples.map(|(region, value)| (region_label(region), *value));
    Family::new(name, help, Samples::Gauges(samples.collect()))
}

pub(super) fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
    Family::new(name, help, Samples::Counters(vec![(None, value)]))
}

pub(super) fn counters(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) -> Family {
    let values = values.into_iter();
    let samples = values.map(|(of, value)| (Some((label, of.to_owned())), value));
    Family::new(name, help, Samples::Counters(samples.collect()))
}

pub(super) fn histograms_by_region(
    name: &'static str,
    help: &'static str,
    values: &ByRegion<Histogram>,
) -> Family {
    let samples = values.iter();
    let samples = samples.map(|(region, histogram)| (region_label(region), histogram.clone()));
    Family::new(name, help, Samples::Histograms(samples.collect()))
}

pub(super) fn bytes_by_region(
    name: &'static str,
    help: &'static str,
    passed: &ByRegion<PassedBytes>,
    of: impl Fn(&PassedBytes) -> u64,
) -> Family {
    let samples = passed.iter();
    let samples = samples.map(|(region, passed)| (region_label(region), of(passed)));
    Family::new(name, help, Samples::Counters(samples.collect())).unit(Unit::Bytes)
}

impl Family {
    pub(super) const fn new(name: &'static str, help: &'static str, samples: Samples) -> Self {
        Self {
            name,
            help,
            unit: None,
            samples,
        }
    }

    pub(super) fn unit(self, unit: Unit) -> Self {
        let unit = Some(unit);
        Self { unit, ..self }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = format!("meshcast_{}", self.name);
        // As the registry of the library ends those of metrics that are registered with it.
        let help = format!("{}.", self.help);
        let kind = match self.samples {
            Samples::Info(_) => MetricType::Info,
            Samples::Counters(_) => MetricType::Counter,
            Samples::Gauges(_) => MetricType::Gauge,
            Samples::Histograms(_) => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(&name, &help, self.unit.as_ref(), kind)?;
        match &self.samples {
            Samples::Info(labels) => metric.encode_info(labels),
            Samples::Counters(samples) => each(&mut metric, samples, |metric, value| {
                metric.encode_counter(value, None::<&Exemplar<NoLabelSet, f64>>)
            }),
            Samples::Gauges(samples) => each(&mut metric, samples, |metric, value| {
                metric.encode_gauge(value)
            }),
            Samples::Histograms(samples) => each(&mut metric, samples, |metric, it| {
                let (sum, buckets) = (it.sum().as_secs_f64(), it.buckets());
                metric.encode_histogram::<NoLabelSet>(sum, it.count(), &buckets, None)
            }),
        }
    }
}

fn each<T>(
    metric: &mut MetricEncoder<'_>,
    samples: &[(Labels, T)],
    encode: impl Fn(&mut MetricEncoder<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (label, value) in samples {
        match label {
            Some(label) => encode(&mut metric.encode_family(&OneLabel(label))?, value)?,
            None => encode(metric, value)?,
        }
    }
    Ok(())
}

struct OneLabel<'a>(&'a (&'static str, String));

impl EncodeLabelSet for OneLabel<'_> {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>,
    ) -> fmt::Result {
        let (key, value) = self.0;
        [(*key, value.as_str())].encode(encoder)
    }
}
