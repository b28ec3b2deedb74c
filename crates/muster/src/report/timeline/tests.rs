use super::*;

#[test]
fn running_tasks_are_averaged_over_time() {
    // One run of two bins and a half; another that ends where it starts counts nothing.
    assert_eq!(
        busy(&[(1.0, 3.5), (2.0, 2.0)], 4.0, 4),
        [0.0, 1.0, 1.0, 0.5]
    );
    assert_eq!(
        busy(&[(-1.0, 9.0)], 4.0, 2),
        [1.0, 1.0],
        "runs from before and after the figure"
    );
}

#[test]
fn finished_tasks_are_counted_up_to_all() {
    assert_eq!(
        counted(&[3.0, 1.0, 4.0], 4.0, 2),
        [(0.0, 0.0), (2.0, 1.0), (4.0, 3.0)]
    );
}

#[test]
fn workers_are_stacked_by_site() {
    let timeline = timeline();
    assert_eq!(timeline.workers_stacked(0), [(0.5, 1), (0.6, 2)]);
    assert_eq!(
        timeline.workers_stacked(1),
        [(0.5, 1), (0.6, 2), (0.7, 4), (3.0, 3)]
    );
    assert_eq!(timeline.workers_most(), 4.0);
}

#[test]
fn a_figure_says_in_words_what_it_shows() {
    let figure = timeline().figure("busy");
    let figure = figure.as_str();
    for wanted in [
        "role=\"img\" aria-labelledby=\"busy-title busy-says\"",
        "<title id=\"busy-title\">Workers, running and finished tasks.</title>",
        "stacked by site (site-a, &lt;b&gt;)",
        "url(#busy-hatch-1)",
        ">site-a 2</text>",
        ">&lt;b&gt; 1</text>",
        ">all 3</text>",
        ">B</text>",
    ] {
        assert!(figure.contains(wanted), "{wanted} is missing from {figure}");
    }
    assert!(
        !figure.contains("NaN") && !figure.contains("inf"),
        "{figure}"
    );
    let key = timeline().key();
    assert!(
        key.as_str().contains("<b>B</b>\n 0.6 s: tasks &amp; more"),
        "{}",
        key.as_str()
    );
}

#[test]
fn nothing_that_happened_is_still_a_figure() {
    let figure = Timeline::default().figure("nothing");
    assert!(!figure.as_str().contains("NaN"), "{}", figure.as_str());
}

#[test]
fn letters_go_on_after_z() {
    assert_eq!([letter(0), letter(25), letter(26)], ["A", "Z", "27"]);
}

fn timeline() -> Timeline {
    Timeline {
        end_s: 4.0,
        sites: vec![
            Site {
                name: "site-a".to_owned(),
                workers: vec![(0.5, 1), (0.6, 2)],
                runs: vec![(0.7, 1.0), (1.0, 1.4)],
            },
            Site {
                name: "<b>".to_owned(),
                workers: vec![(0.7, 2), (3.0, 1)],
                runs: vec![(0.8, 4.0)],
            },
        ],
        events: vec![
            Event {
                at_s: 0.5,
                what: "federation up".to_owned(),
            },
            Event {
                at_s: 0.6,
                what: "tasks & more".to_owned(),
            },
        ],
    }
}
