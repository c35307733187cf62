"""`dfkd methods`."""

import json

from dfkd.config import METHODS, REAL_METHODS


def test_every_method_has_a_line_with_its_terms_and_cost(run):
    status, output, _ = run("methods", "--json")
    assert status == 0
    found = {each["name"]: each for each in json.loads(output)["methods"]}
    assert tuple(found) == METHODS
    for name, each in found.items():
        assert bool(each["generator_terms"]) == bool(each["student_terms"]) == (name not in REAL_METHODS)
    dafl = found["dafl"]
    assert dafl["generator_terms"] == {"one_hot": 0.5, "class_balance": 8.686, "activation": 0.01}
    # One generator step without the student, 2 passes, and one student step, 3.
    assert (dafl["passes_of_a_generator_step"], dafl["passes_of_a_student_step"]) == (2, 3)
    assert dafl["passes_per_student_step"] == 5
    assert (found["mad"]["replay"], found["mad"]["year"]) == ("generator", 2022)
    assert found["scratch"]["synthesis"] is None


def test_the_table_names_every_method_and_the_way_to_run_it(run):
    status, output, _ = run("methods")
    assert status == 0
    assert all(name in output for name in METHODS)
    assert "dfkd distill --set method=NAME" in output
