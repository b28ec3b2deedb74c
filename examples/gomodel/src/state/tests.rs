use super::*;
use crate::tests::{hairpin, shaken};

fn state() -> State {
    let mut random = Random::seeded(9, 0);
    let mut state = State::native(&hairpin(), 0.7, &mut random);
    state.beads = shaken(&state.beads, 1.0, 4);
    state.steps = 5000;
    state
}

fn parse(text: &str) -> Result<State, String> {
    State::parse(text, Path::new("s"), 17).map_err(|trouble| trouble.to_string())
}

#[test]
fn a_state_read_back_is_the_state_written_bit_by_bit() {
    let mut state = state();
    state.beads[0] = [f64::MIN_POSITIVE, -0.0, 1e300];
    let read = parse(&state.text()).unwrap();
    let bits = |state: &State| {
        state
            .beads
            .iter()
            .chain(&state.velocities)
            .flatten()
            .map(|x| x.to_bits())
            .collect()
    };
    let (was, is): (Vec<u64>, Vec<u64>) = (bits(&state), bits(&read));
    assert_eq!(was, is);
    assert_eq!(read, state);
    assert_eq!(read.text(), state.text());
}

#[test]
fn each_kind_of_damage_is_named_with_its_line() {
    let text = state().text();
    let said = |damaged: &str| parse(damaged).unwrap_err();
    assert_eq!(said(""), "s line 1: gomodel state 1 should stand here");
    assert_eq!(
        said(&text.replace("state 1", "state 2")),
        "s line 1: gomodel state 1 should stand here"
    );
    assert_eq!(
        said(&text.replace("steps 5000", "steps -1")),
        "s line 2: steps and a count should stand here"
    );
    let cold = text.replace("temperature 0.7", "temperature 0");
    assert_eq!(
        said(&cold),
        "s line 3: temperature and a number above 0 should stand here"
    );
    let longer = text.replace("beads 17", "beads 4000000000");
    assert_eq!(
        said(&longer),
        "s is a state of 4000000000 beads, but the native structure has 17"
    );
    let torn: String = text
        .lines()
        .take(10)
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(said(&torn), "s line 11: six numbers should stand here");
    assert_eq!(
        said(&format!("{text}1 2 3\n")),
        "s line 22: the end of the file should stand here"
    );
    let infinite = format!(
        "{}\n",
        text.trim_end().rsplit_once(' ').unwrap().0.to_owned() + " inf"
    );
    assert_eq!(said(&infinite), "s line 21: six numbers should stand here");
}

#[test]
fn a_move_to_another_temperature_carries_the_kinetic_energy_along() {
    let mut state = state();
    let kinetic = |state: &State| {
        state
            .velocities
            .iter()
            .flatten()
            .map(|v| v * v)
            .sum::<f64>()
    };
    let before = kinetic(&state);
    state.move_to(1.4);
    assert!((kinetic(&state) / before - 2.0).abs() < 1e-12);
    assert_eq!(state.temperature, 1.4);
    let twice = state.clone();
    state.move_to(1.4);
    assert_eq!(
        state, twice,
        "a replica that keeps its temperature keeps its bits"
    );
}

#[test]
fn nothing_is_left_beside_a_written_state() {
    let folder = std::env::temp_dir().join(format!("gomodel-state-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("out.state");
    state().write(&path).unwrap();
    assert_eq!(State::read(&path, 17).unwrap(), state());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let nowhere = state().write(&folder.join("no/such/place")).unwrap_err();
    assert!(matches!(nowhere, Trouble::Write { .. }));
    fs::remove_dir_all(&folder).unwrap();
}
