//! `versus compare`, from its command line to its files. The load is a script that reports the same
//! figures each time: what is shown here is which servers run, and what becomes of the figures.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The program under test.
const VERSUS: &str = env!("CARGO_BIN_EXE_versus");

/// What the script reports: 1,000 requests in a tenth of a second.
const REPORT: &str = r#"{"requests": 1000, "sent": 1000, "requests_per_second": 10000,
    "duration_ns": 100000000, "errors": {},
    "latency_ns": {"percentiles": {"p50": 100000, "p99": 200000, "p99.9": 300000, "max": 400000}}}"#;

/// A folder of one test, with the script in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let script = path.join("load");
        fs::write(&script, format!("#!/bin/sh\ncat <<'END'\n{REPORT}\nEND\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        Folder(path)
    }

    /// Compares one round of what is named.
    fn compare(&self, arguments: &[&str]) -> Output {
        let mut compare = Command::new(VERSUS);
        compare.args(["compare", "--rounds", "1", "--minutes", "1"]);
        compare.arg("--out").arg(&self.0).arg("--load").arg(self.0.join("load"));
        compare.args(arguments).output().unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// The results of a cell's servers.
    fn contestants(&self, cell: usize) -> Vec<Value> {
        let results: Value = serde_json::from_str(&self.read("results.json")).unwrap();
        results["cells"][cell]["contestants"].as_array().unwrap().clone()
    }
}

fn assert_success(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_server_of_another_program_is_compared_like_one_of_this_build() {
    let folder = Folder::new("extra");
    let extra = format!(
        "other={VERSUS} server --peer bare --addr {{ip}}:{{port}} --protocol {{protocol}} \
         --threads {{threads}}"
    );
    let cells = ["--cells", "http-64,echo-64,two-loops,tail-50,tail-80-read-16,tail-80-echo-64k"];
    let output = folder.compare(&[&cells[..], &["--servers", "bare", "--extra", &extra]].concat());
    assert_success(&output);
    for cell in 0..6 {
        let contestants = folder.contestants(cell);
        let names: Vec<_> = contestants.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["bare", "other"]);
        for contestant in &contestants {
            assert_eq!(contestant["failure"], Value::Null);
            let figure = contestant["samples"][0]["figures"][0].as_f64();
            assert_eq!(figure, Some(if cell >= 3 { 300_000.0 } else { 10_000.0 }));
        }
    }
    let report = folder.read("results.md");
    assert!(report.contains("10,000") && report.contains("300 µs"), "{report}");
    assert!(folder.read("http-64.svg").contains("other"));
    assert!(folder.read("tail-50-percentiles.svg").contains("99.9 %"));
}

#[test]
fn what_cannot_run_is_named_with_its_last_words_and_the_others_run() {
    let folder = Folder::new("failing");
    let output = folder.compare(&[
        "--cells",
        "http-1,echo-64",
        "--servers",
        "bare",
        "--extra",
        "broken=sh -c 'echo warming up >&2; echo no such ring >&2; exit 3'",
        "--extra",
        "silent=sh -c 'exit 4'",
        "--extra",
        "absent=/no/such/program {protocol}",
    ]);
    assert_success(&output);
    let reasons: Vec<String> = folder
        .contestants(0)
        .iter()
        .map(|contestant| contestant["failure"].as_str().unwrap_or("none").to_owned())
        .collect();
    assert_eq!(reasons[..3], ["none", "no such ring", "it ended with exit status: 4"]);
    assert!(reasons[3].contains("/no/such/program"), "{}", reasons[3]);
    // What is not told the protocol is not asked for an echo.
    let echo = folder.contestants(1);
    assert_eq!(echo[1]["failure"], "it can't be told to serve echo on 1 loops");
    let report = folder.read("results.md");
    assert!(report.contains("- broken, http-1: no such ring"), "{report}");
}

#[test]
fn tables_and_charts_are_made_again_from_what_was_measured() {
    let folder = Folder::new("again");
    assert_success(&folder.compare(&["--cells", "http-1", "--servers", "bare"]));
    let report = folder.read("results.md");
    fs::remove_file(folder.0.join("results.md")).unwrap();
    fs::remove_file(folder.0.join("http-1.svg")).unwrap();
    let results = folder.0.join("results.json");
    assert_success(&folder.compare(&["--from", results.to_str().unwrap()]));
    assert_eq!(folder.read("results.md"), report);
    assert!(folder.read("http-1.svg").starts_with("<svg"));
}

#[test]
fn a_load_that_fails_is_no_result() {
    let folder = Folder::new("load");
    fs::write(folder.0.join("load"), "#!/bin/sh\necho nothing answers >&2\nexit 1\n").unwrap();
    assert_success(&folder.compare(&["--cells", "http-1", "--servers", "bare"]));
    let contestants = folder.contestants(0);
    assert_eq!(contestants[0]["failure"], "nothing answers");
    assert_eq!(contestants[0]["samples"].as_array().unwrap().len(), 0);
}

#[test]
fn too_little_time_is_an_error_that_names_enough() {
    let folder = Folder::new("time");
    let output = folder.compare(&["--minutes", "0.01"]);
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("--minutes "), "{error}");
}

#[test]
fn a_flood_that_a_server_does_not_take_is_no_result() {
    let folder = Folder::new("flood");
    // It serves an echo, whatever it is told to.
    let extra = format!(
        "deaf={VERSUS} server --peer bare --addr {{addr}} --protocol echo --threads 1 # {{protocol}}"
    );
    let cell = ["--cells", "tail-80-read-16", "--servers", "bare", "--extra", &extra];
    assert_success(&folder.compare(&cell));
    let contestants = folder.contestants(0);
    assert_eq!(contestants[0]["failure"], Value::Null);
    let reason = contestants[1]["failure"].as_str().unwrap();
    assert!(reason.contains("not the answer that was asked for"), "{reason}");
}
