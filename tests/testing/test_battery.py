"""The battery finds what is broken: models with one fault each fail in one row, a sound one in none."""

import broken_models
import pytest
from click.testing import CliRunner

from kvzoo import catalog
from kvzoo.cli.verbs import cli
from kvzoo.errors import InputError
from kvzoo.testing import ROWS, Battery, battery
from kvzoo.testing.fresh import installed_backends

WITHOUT_TRAINING = ("spec", "parameters", "shape", "finite", "causal", "config")
IN_PROCESSES = ("save", "backends")  # rows that start processes


@pytest.fixture(scope="module", autouse=True)
def registered(registered_here_only):
    for fault in ("", *broken_models.FAULTS):
        catalog.register(broken_models.spec(fault))


@pytest.fixture(scope="module")
def shared(registered) -> Battery:
    """Processes are for those models that have to do with them."""
    return Battery("sound", "broken_save", "broken_backends")


def failed(shared: Battery, name: str, rows) -> dict[str, str]:
    return {r.row: r.detail for r in shared.results(name, tuple(rows)) if r.state == "failed"}


@pytest.mark.parametrize("fault", [f for f in broken_models.FAULTS if f not in IN_PROCESSES])
def test_a_fault_fails_in_its_row(fault, shared):
    assert failed(shared, f"broken_{fault}", {fault, *WITHOUT_TRAINING}).keys() == {fault}


@pytest.mark.slow
@pytest.mark.parametrize("fault", [f for f in broken_models.FAULTS if f not in IN_PROCESSES])
def test_a_fault_fails_in_no_other_row(fault, shared):
    assert failed(shared, f"broken_{fault}", set(ROWS) - set(IN_PROCESSES)).keys() == {fault}


def test_a_layer_that_is_not_made_again_fails_to_load(shared):
    said = failed(shared, "broken_save", ["save", *WITHOUT_TRAINING])
    assert said.keys() == {"save"}
    assert "NotMadeAgain" in said["save"]


@pytest.mark.backend
def test_backends_that_differ_fail_there(shared):
    if len(installed_backends()) < 2:
        pytest.skip("one backend is installed")
    assert failed(shared, "broken_backends", IN_PROCESSES).keys() == {"backends"}
    assert failed(shared, "broken_save", IN_PROCESSES).keys() == {"save"}


def test_a_sound_model_passes(shared):
    states = {r.row: (r.state, r.detail) for r in shared.results("sound", tuple(r for r in ROWS if r != "backends"))}
    assert set(states.values()) == {("ok", "")}, states


@pytest.mark.backend
def test_a_sound_model_is_the_same_everywhere(shared):
    assert not failed(shared, "sound", ["backends"])


def test_check_says_what_failed_and_how_to_see_it():
    done = CliRunner().invoke(cli, ["plugin", "check", "broken_parameters", "--row", "spec", "--row", "parameters"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "plugin check: broken_parameters fails 1 of 2 rows: parameters"
    assert "  ok       spec " in done.output
    assert "  failed   parameters " in done.output
    assert "counted {'network': 25}; the spec says {'network': 26}" in done.output
    assert "Traceback" in done.output


def test_check_refuses_what_is_no_row_and_no_model():
    for args, said in (
        (["sound", "--row", "shapes"], "--row shapes: unknown row; did you mean shape"),
        (["soud"], "unknown model 'soud'; did you mean sound"),
    ):
        done = CliRunner().invoke(cli, ["plugin", "check", *args])
        assert isinstance(done.exception, InputError)
        assert said in str(done.exception)


def test_battery_refuses_no_names_and_marks_for_no_row():
    for names, marks in (((), {}), (("sound",), {"shapes": pytest.mark.slow})):
        with pytest.raises(ValueError, match="battery: names of models"):
            battery(*names, marks=marks)
