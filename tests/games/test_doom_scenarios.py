"""Scenarios that ViZDoom ships, and their actions."""

import vizdoom as vzd

from metabonk.games.doom_scenarios import UNPLAYABLE, action_set, load_scenario, scenario_names

TURN_LEFT, ATTACK, FORWARD = (
    vzd.Button.TURN_LEFT,
    vzd.Button.ATTACK,
    vzd.Button.MOVE_FORWARD,
)


def test_every_shipped_scenario_is_playable_or_excluded_with_a_reason():
    shipped = {name.removesuffix(".cfg") for name in vzd.configs}
    assert set(scenario_names()) | set(UNPLAYABLE) == shipped | set(UNPLAYABLE)
    assert set(scenario_names()) >= {
        "basic",
        "defend_the_center",
        "health_gathering",
        "deadly_corridor",
        "my_way_home",
    }


def test_few_buttons_get_one_action_each_and_one_to_wait():
    names, actions = action_set([TURN_LEFT, vzd.Button.TURN_RIGHT, ATTACK])
    assert names == ("wait", "turn left", "turn right", "attack")
    assert actions == (
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (False, False, True),
    )


def test_actions_list_buttons_in_the_order_of_the_scenario():
    names, actions = action_set([ATTACK, FORWARD, TURN_LEFT])
    assert actions[names.index("turn left")] == (False, False, True)
    assert actions[names.index("move forward + turn left")] == (False, True, True)
    assert actions[names.index("move forward + attack")] == (True, True, False)


def test_axes_and_modifiers_are_never_pressed():
    buttons = [vzd.Button.TURN_LEFT_RIGHT_DELTA, vzd.Button.SPEED, ATTACK]
    names, actions = action_set(buttons)
    assert names == ("wait", "attack")
    assert not any(action[0] or action[1] for action in actions)


def test_action_names_are_unique_and_at_most_16():
    for name in scenario_names():
        scenario = load_scenario(name)
        assert len(set(scenario.action_names)) == len(scenario.action_names) <= 16
        assert len(set(scenario.actions)) == len(scenario.actions)


def test_a_scenario_knows_its_time_limit():
    assert load_scenario("basic").timeout_tics == 300
    assert load_scenario("take_cover").timeout_tics == 0
