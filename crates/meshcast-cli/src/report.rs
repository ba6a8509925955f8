//! What a run was like, as a page to look at (`--report FILE.html`) or as JSON (`FILE.json`).

mod charts;
mod page;

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use meshcast_sim::Analysis;
use serde::Serialize;

use crate::exit::Failure;

/// A file that will be a report.
#[derive(Debug)]
pub(crate) struct Report {
    file: File,
    path: PathBuf,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Page,
    Json,
}

impl Report {
    /// Makes the file, so that nobody waits for a run that cannot be reported.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().and_then(|it| it.to_str());
        let form = match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("html" | "htm") => Form::Page,
            Some("json") => Form::Json,
            _ => {
                let failure = Failure::usage(format!(
                    "{} says not what the report is to be",
                    path.display()
                ));
                return Err(failure.hint("end its name with .html for a page, or with .json"));
            }
        };
        let file = File::create(path).map_err(Failure::io(format!("write {}", path.display())))?;
        let path = path.to_owned();
        Ok(Self { file, path, form })
    }

    /// Writes it. Returns where it is.
    pub(crate) fn write(mut self, analysis: &Analysis) -> Result<PathBuf, Failure> {
        let text = match self.form {
            Form::Page => page::page(analysis).map_err(Failure::failed)?,
            Form::Json => {
                let mut json = serde_json::to_string_pretty(&Written {
                    schema: "run_report/v1",
                    copies_per_frame: analysis.copies_per_frame(),
                    bytes_per_message: analysis.bytes_per_message(),
                    bytes_per_delivery: analysis.bytes_per_delivery(),
                    analysis,
                })
                .map_err(Failure::failed)?;
                json.push('\n');
                json
            }
        };
        let failed = Failure::io(format!("write {}", self.path.display()));
        self.file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(self.path)
    }
}

#[derive(Serialize)]
struct Written<'a> {
    schema: &'static str,
    #[serde(flatten)]
    analysis: &'a Analysis,
    copies_per_frame: Option<f64>,
    bytes_per_message: Option<f64>,
    bytes_per_delivery: Option<f64>,
}

#[cfg(test)]
mod tests {
    use meshcast_sim::{Ran, Scenario, run_logged};

    use super::*;
    use crate::exit::Exit;

    /// A run with a partition, in a scenario whose words are no HTML.
    fn analysis() -> Analysis {
        let scenario = Scenario::from_toml(
            "name = 'cut'\nabout = 'a <script>alert(1)</script> & \"more\"'\nnodes = 4\n\
             regions = ['fra', 'syd']\nduration = 20\n\
             [[fault]]\nkind = 'partition'\nat = 5\nfor = 5\ngroups = [['fra'], ['syd']]",
        )
        .expect("a scenario");
        let (report, log) = run_logged(&scenario, 1);
        let complaints: Vec<_> = report.complaints().collect();
        Analysis::of(Ran {
            scenario: &scenario,
            seed: 1,
            is_real: false,
            faults: &scenario.marks(1),
            log: &log,
            cost: report.traffic.into(),
            complaints: &complaints,
        })
    }

    #[test]
    fn a_page_needs_nothing_else_and_runs_nothing() {
        let directory = tempfile::tempdir().expect("writable");
        let path = directory.path().join("report.html");
        let report = Report::create(&path).expect("writable");
        assert_eq!(report.write(&analysis()).expect("writable"), path);
        let page = std::fs::read_to_string(&path).expect("it is there");
        assert!(!page.contains("<script"), "it runs something");
        let loads = ["src=", "href=", "url(", "@import", "<link", "<iframe"];
        assert!(
            loads.iter().all(|it| !page.contains(it)),
            "it loads something"
        );
        assert!(page.contains("a &lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;"));
        assert!(page.contains("fra | syd are cut apart"));
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("</svg>").count(), 3);
        assert!(!page.contains("\"#0"), "a colour does not follow the theme");
        // Messages to the other region take longest, and those that stay shortest.
        assert!(page.contains("--p50: 0%") && page.contains("--p50: 100%"));
        for region in ["fra", "syd"] {
            assert!(page.contains(&format!("<th scope=\"row\">{region}</th>")));
        }
    }

    #[test]
    fn json_has_the_same_numbers() {
        let directory = tempfile::tempdir().expect("writable");
        let path = directory.path().join("report.JSON");
        let analysis = analysis();
        let report = Report::create(&path).expect("writable");
        report.write(&analysis).expect("writable");
        let json = std::fs::read_to_string(&path).expect("it is there");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["schema"], "run_report/v1");
        assert_eq!(json["deliveries"], analysis.deliveries);
        assert!(analysis.deliveries > 500, "{}", analysis.deliveries);
        assert_eq!(json["pairs"].as_array().map(Vec::len), Some(4));
        assert_eq!(json["faults"][0]["at_us"], 5_000_000);
        assert_eq!(json["faults"][0]["until_us"], 10_000_000);
        assert!(
            json["copies_per_frame"]
                .as_f64()
                .is_some_and(|it| it >= 1.0)
        );
        let across = analysis
            .pairs
            .iter()
            .find(|it| it.from == "fra" && it.to == "syd");
        let across = across.expect("they talk");
        assert!((50_000..5_000_000).contains(&across.p50_us), "{across:?}");
        assert!(
            across.p99_us > 4_000_000,
            "some waited for the links: {across:?}"
        );
    }

    #[test]
    fn a_file_that_is_neither_is_wrong_usage() {
        for name in ["report", "report.pdf", ".html"] {
            let failure = Report::create(Path::new(name)).expect_err(name);
            assert_eq!(failure.exit, Exit::Usage);
        }
        let failure = Report::create(Path::new("/nowhere/report.html")).expect_err("no directory");
        assert_eq!(failure.exit, Exit::Failed);
    }
}
