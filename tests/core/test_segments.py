"""Where a motion is divided."""

import numpy as np

from tavid_core.lifting.segments import find_segments
from tavid_core.motion import Contact


def contact(start, end, hand="right_hand", **fields):
    fields = {"touches_target": True, **fields}
    return Contact(hand=hand, start_frame=start, end_frame=end, **fields)


def lifted(num_frames, from_frame, speed_m=0.02):
    path = np.zeros((num_frames, 3), np.float32)
    path[:, 1] = -speed_m * np.clip(np.arange(num_frames) - from_frame, 0, None)
    return path


def spans(segments):
    return [(segment.name, segment.start_frame, segment.end_frame) for segment in segments]


def test_reach_and_lift_has_three_parts():
    assert spans(find_segments([contact(5, 16)], lifted(17, 7))) == [
        ("approach", 0, 4),
        ("grasp", 5, 7),
        ("transport", 8, 16),
    ]


def test_touch_without_lift_has_no_transport():
    assert spans(find_segments([contact(5, 9)], np.zeros((17, 3), np.float32))) == [
        ("approach", 0, 4),
        ("grasp", 5, 9),
        ("retreat", 10, 16),
    ]


def test_a_grasp_takes_a_frame_even_if_the_target_moves_at_once():
    assert spans(find_segments([contact(0, 8)], lifted(9, -3))) == [
        ("grasp", 0, 0),
        ("transport", 1, 8),
    ]


def test_lost_target_is_not_called_moved():
    path = np.full((9, 3), np.nan, np.float32)
    assert spans(find_segments([contact(4, 8)], path)) == [("approach", 0, 3), ("grasp", 4, 8)]


def test_second_contact_begins_where_the_first_ended():
    still = np.zeros((17, 3), np.float32)
    assert spans(find_segments([contact(10, 12), contact(3, 5)], still)) == [
        ("approach", 0, 2),
        ("grasp", 3, 5),
        ("approach", 6, 9),
        ("grasp", 10, 12),
        ("retreat", 13, 16),
    ]


def test_contacts_with_other_things_do_not_count():
    other = contact(3, 5, touches_target=False, touches_other=True)
    assert find_segments([other], np.zeros((9, 3), np.float32)) == ()
