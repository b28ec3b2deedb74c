use super::*;

#[test]
fn the_demo_starts_with_a_task_a_rung_from_the_native_structure() {
    let exchange = exchange(SEED);
    let tasks = exchange.round_tasks();
    assert_eq!(tasks.len(), RUNGS);
    let words = arguments(&tasks[0], "ubiquitin-ca.pdb", MD_STEPS).join(" ");
    let seed = tasks[0].seed;
    let wanted = "step --native ubiquitin-ca.pdb --out replica-0.round-0.state --temperature 0.55 --steps 5000";
    assert_eq!(words, format!("{wanted} --seed {seed}"));
}

#[test]
fn later_rounds_go_on_from_the_states_of_the_round_before() {
    let mut exchange = exchange(SEED);
    exchange
        .finish_round(&[0.0, -80.0, -70.0, -60.0, -50.0, -40.0, -35.0, -30.0])
        .unwrap();
    let tasks = exchange.round_tasks();
    assert_eq!((tasks[0].replica, tasks[0].rung), (1, 0));
    let words = arguments(&tasks[0], "n.pdb", 10).join(" ");
    let wanted = "step --native n.pdb --state replica-1.round-0.state --out replica-1.round-1.state --temperature 0.55";
    assert_eq!(
        words,
        format!("{wanted} --steps 10 --seed {}", tasks[0].seed)
    );
}

#[test]
fn every_pair_is_tried_often_enough_to_be_judged() {
    let mut exchange = exchange(SEED);
    for _ in 0..ROUNDS {
        exchange
            .finish_round(&[-84.0, -78.0, -72.0, -65.0, -57.0, -49.0, -39.0, -28.0])
            .unwrap();
    }
    assert!(
        exchange.pairs().iter().all(|pair| pair.tried == 13),
        "{:?}",
        exchange.pairs()
    );
    assert!(
        exchange
            .energies()
            .iter()
            .all(|energy| energy.count() == 26)
    );
}
