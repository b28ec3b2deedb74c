"""One command for every value of its parameters."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

import muster
from muster import Federation


def test_there_is_a_task_for_each_combination(federation: Federation) -> None:
    ensemble = federation.map("echo {x} {y} {#} {other} '{}'", x=[1, 2], y=["a", "b c"])
    assert len(ensemble) == 4
    outs = [result.stdout for result in ensemble.results()]
    assert outs == ["1 a 1 {other} {}\n", "1 b c 2 {other} {}\n", "2 a 3 {other} {}\n", "2 b c 4 {other} {}\n"]
    linked = federation.map(["/bin/echo", "{x}{y}"], x=[1, 2], y=[3, 4], link=True)
    assert [result.stdout for result in linked.check()] == ["13\n", "24\n"]
    cases = federation.map("echo {x}", cases=[{"x": "one"}, {"x": "two"}])
    assert {result.tag["x"]: result.stdout for result in cases} == {"one": "one\n", "two": "two\n"}


def test_files_among_the_values_go_along_and_outputs_have_places_of_their_own(federation: Federation) -> None:
    Path("in").mkdir()
    for name in "ab":
        Path(f"in/{name}.txt").write_text(name)
    files = sorted(Path("in").glob("*.txt"))
    ensemble = federation.map("tr ab xy < {f} > out; echo {f/} {f//} {f.} {f/.}", f=files, outputs=["out"])
    results = ensemble.results()
    assert [result.outputs["out"].read_text() for result in results] == ["x", "y"]
    assert [result.stdout for result in results] == ["a.txt in in/a a\n", "b.txt in in/b b\n"]
    named = federation.map("cp {f} {f/.}.copy", f=files, outputs=["{f/.}.copy"])
    assert all(result.ok for result in named)
    assert Path("a.copy").read_text() == "a" and Path("b.copy").read_text() == "b"
    placed = federation.map("cp {f} out", f=files, outputs=["out"], output_dir="there/{f/.}")
    assert all(result.ok for result in placed)
    assert Path("there/b/out").read_text() == "b"


def test_what_cannot_be_meant_is_refused(federation: Federation) -> None:
    with pytest.raises(TypeError, match="neither a field of a task nor a parameter"):
        federation.map("echo {x}", y=[1])
    with pytest.raises(ValueError, match="as many values"):
        federation.map("echo {x} {y}", x=[1, 2], y=[1], link=True)
    with pytest.raises(TypeError, match="not both"):
        federation.map("echo {x}", cases=[{"x": 1}], x=[1])
    with pytest.raises(ValueError, match="only the last would be left"):
        federation.map("echo {x} > out", x=[1, 2], outputs=["out"], output_dir="same")
    failed = federation.map("exit {x}", x=[0, 1])
    with pytest.raises(muster.TaskFailed):
        failed.check()


def test_a_federation_of_its_own_runs_one_map(home: Path) -> None:
    results = muster.map("echo {x}", x=range(3), sites=1, workers=1)
    assert [result.stdout for result in results] == ["0\n", "1\n", "2\n"]


def test_progress_is_shown_in_terminals_alone(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    ensemble = federation.map("exit {x}", x=[0, 1, 0])
    assert len(list(ensemble.progress("runs"))) == 3
    assert screen.getvalue() == ""
    screen.isatty = lambda: True  # type: ignore[method-assign]
    assert len(list(federation.map("exit {x}", x=[0, 1, 0]).progress("runs"))) == 3
    last = screen.getvalue().splitlines()[-1]
    assert "3 of 3 runs" in last and "1 failed" in last


def test_results_become_a_table(federation: Federation) -> None:
    rows = [result.row() for result in federation.map("exit {x}", x=[0, 1]).results()]
    assert [row["exit_code"] for row in rows] == [0, 1] and rows[1]["tag"] == {"x": 1}
    try:
        import pandas  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pip install pandas"):
            muster.to_pandas([])
    else:
        table = federation.map("exit {x}", x=[0, 1]).to_pandas()
        assert list(table["x"]) == [0, 1] and list(table["ok"]) == [True, False]
