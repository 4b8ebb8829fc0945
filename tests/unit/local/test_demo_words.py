"""What a later start of the demo says of the person who signs in."""

from inspection.management.commands.demo import known_user


def test_a_later_start_names_the_user_and_the_way_back_in() -> None:
    lines = " ".join(known_user("anna"))
    assert "User: anna" in lines
    assert "still valid" in lines
    assert "manage.py user reset anna" in lines
