from __future__ import annotations

from demo.viewer.saved_picture import restorable, restore_message


def test_what_is_said_of_a_saved_picture() -> None:
    settings = {"model": "/models/sd", "subjects": [{"name": "cat", "region": [0, 0, 1, 1]}]}
    assert restore_message(settings, ["steps 150"], "toybox") == (
        "Prompt, names, strengths and settings are as they were, except for what the fields here cannot hold: steps "
        "150, regions. The picture is of another model, “sd”; here “toybox” is loaded. Photos are not inside a "
        "picture: the cards keep those they have; drop the others again."
    )
    assert restore_message({"model": "toybox", "subjects": []}, [], "toybox") == (
        "Prompt, names, strengths and settings are as they were. It was made without subjects: the cards stay as they "
        "are."
    )


def test_a_forged_picture_brings_no_path() -> None:
    record = restorable(
        {"prompt": "a cat", "strengths": {0: 9}, "subjects": [{"name": "cat", "photos": ["/etc/hosts"]}]}
    )
    assert record == {"prompt": "a cat", "subjects": [{"name": "cat", "strength": None, "photos": 0}]}
    assert restorable({"subjects": "cat"}) == {}
