//! Tables as comma-separated values (RFC 4180), for spreadsheets and for plots of one's own.
//!
//! Numbers here are plain, without units and spaces; the header says what they are.

use muster_sim::run::RunReport;

use super::tables;

/// The files of one run: name and contents.
pub fn files(report: &RunReport) -> [(&'static str, String); 6] {
    [
        ("timeline.csv", timeline(report)),
        ("losses.csv", losses(report)),
        ("links.csv", links(report)),
        ("latency.csv", latency(report)),
        ("run_times.csv", run_times(report)),
        ("table.csv", table(report)),
    ]
}

/// Rows as one file; the first is the header.
pub fn file<S: AsRef<str>>(rows: impl IntoIterator<Item = Vec<S>>) -> String {
    let mut file = String::new();
    for row in rows {
        let fields: Vec<String> = row.iter().map(|field| quoted(field.as_ref())).collect();
        file += &fields.join(",");
        file += "\r\n";
    }
    file
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn timeline(report: &RunReport) -> String {
    let mut head = header(&["at_s", "running", "received", "assigned"]);
    head.extend(report.pools.iter().map(|pool| format!("workers {pool}")));
    let rows = report.timeline.iter().map(|point| {
        let counts = [point.at_s, point.running, point.received, point.assigned];
        let mut row: Vec<String> = counts.map(|count| count.to_string()).to_vec();
        let workers = (0..report.pools.len()).map(|n| point.workers.get(n).copied().unwrap_or(0));
        row.extend(workers.map(|count| count.to_string()));
        row
    });
    file([head].into_iter().chain(rows))
}

/// The ledger: its counts sum to the attempts assigned.
fn losses(report: &RunReport) -> String {
    let parts = tables::ledger(report).parts.into_iter();
    let rows = parts.map(|(what, count)| vec![what, count.to_string()]);
    file([header(&["what", "attempts"])].into_iter().chain(rows))
}

fn links(report: &RunReport) -> String {
    let head = header(&[
        "upper",
        "lower",
        "messages_down",
        "messages_up",
        "bytes_down",
        "bytes_up",
        "files_down",
        "files_up",
    ]);
    let rows = report.links.iter().map(|link| {
        let counts = [
            link.messages_down,
            link.messages_up,
            link.bytes_down,
            link.bytes_up,
            link.files_down,
            link.files_up,
        ];
        let names = [link.upper.clone(), link.lower.clone()];
        let counts = counts.map(|count| count.to_string());
        names.into_iter().chain(counts).collect()
    });
    file([head].into_iter().chain(rows))
}

fn latency(report: &RunReport) -> String {
    let rows = report.latency.iter().map(|hop| {
        vec![
            hop.hop.clone(),
            hop.count.to_string(),
            hop.p50_s.to_string(),
            hop.p90_s.to_string(),
            hop.p99_s.to_string(),
        ]
    });
    let head = header(&["hop", "count", "p50_s", "p90_s", "p99_s"]);
    file([head].into_iter().chain(rows))
}

fn run_times(report: &RunReport) -> String {
    let bars = report.run_times.iter();
    let rows = bars.map(|bar| vec![bar.to_s.to_string(), bar.count.to_string()]);
    file([header(&["to_s", "count"])].into_iter().chain(rows))
}

/// The talk's table, and whatever else was published.
fn table(report: &RunReport) -> String {
    let mut names: Vec<&str> = tables::TALK.iter().map(|(name, _)| *name).collect();
    for claim in &report.claims {
        if !names.contains(&claim.name.as_str()) {
            names.push(&claim.name);
        }
    }
    let rows = names.into_iter().map(|name| {
        let claim = report.claims.iter().find(|claim| claim.name == name);
        let emerged = report.figure(name).or(claim.map(|claim| claim.emerged));
        let published = claim.map(|claim| claim.published);
        let ratio = emerged
            .zip(published)
            .map(|(emerged, published)| emerged / published)
            .filter(|ratio| ratio.is_finite());
        let written = |number: Option<f64>| number.map_or(String::new(), |n| n.to_string());
        vec![
            name.to_owned(),
            written(emerged),
            written(published),
            written(ratio),
        ]
    });
    let head = header(&["figure", "emerged", "published", "ratio"]);
    file([head].into_iter().chain(rows))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let file = file([
            vec!["a", "b c"],
            vec!["x,y", "say \"no\""],
            vec!["two\nlines", ""],
        ]);
        assert_eq!(
            file,
            "a,b c\r\n\"x,y\",\"say \"\"no\"\"\"\r\n\"two\nlines\",\r\n"
        );
    }

    #[test]
    fn the_files_of_a_run() {
        let report = fixture::report();
        let files = files(&report);
        let file = |name: &str| {
            let found = files.iter().find(|(known, _)| *known == name);
            found.expect("a file of that name").1.as_str()
        };
        assert!(file("timeline.csv").starts_with(
            "at_s,running,received,assigned,workers sge,\"workers <b>condor</b>, \"\"two\"\"\"\r\n0,190,0,0,0,200\r\n"
        ), "{}", file("timeline.csv"));
        let counts = file("losses.csv").lines().skip(1).map(|line| {
            let count = line.rsplit(',').next().expect("a last field");
            count.parse::<u64>().expect("a count")
        });
        assert_eq!(counts.sum::<u64>(), report.assigned);
        assert!(file("links.csv").contains("campus,\"<b>condor</b>, \"\"two\"\"\",300000,"));
        assert!(file("latency.csv").contains("lease to start,283830,0.35,2,9.5\r\n"));
        assert!(file("run_times.csv").starts_with("to_s,count\r\n600,"));
        assert!(file("table.csv").contains("busy_cpu_days,10603,3000,3.534"));
        assert!(file("table.csv").contains("workers,5000,,\r\n"));
    }
}
